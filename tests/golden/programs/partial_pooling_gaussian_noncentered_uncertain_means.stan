// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sqrt(square(sigma) + var_x[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over unknown values of beta[column] * (true value - in_X)
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   true values of x ~ normal(mean_x + X_x * beta_x, sd_x)
//   seen ~ normal(true value, seen_error)
//   unknown values are integrated out, and add var_x[n] to the variance
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  int<lower=1> U; // number of predictors whose values are not all known
  array[U] int<lower=1, upper=K> column; // their columns of X
  int<lower=1> n_seen; // number of values that were observed
  array[n_seen] int<lower=1, upper=U> seen_of; // of which predictor
  vector[n_seen] seen;
  vector<lower=0>[n_seen] seen_error; // standard deviations of their errors
  int<lower=0> n_unknown; // number of true values that are not known
  array[n_unknown] int<lower=1, upper=U> unknown_of; // of which predictor
  array[n_unknown] int<lower=1, upper=N> unknown_row; // of which row
  vector[n_unknown] in_X; // what stands in X: what was observed, or a mean
  vector<lower=0>[n_unknown] precision; // of what was observed; 0 for nothing
  int<lower=1> K_x; // number of predictors of means of true values
  matrix[n_seen, K_x] seen_X; // 0 in the columns of other predictors
  matrix[n_unknown, K_x] unknown_X;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector[U] prior_mean_x_location;
  vector<lower=0>[U] prior_mean_x_scale;
  vector<lower=0>[U] prior_sd_x_rate;
  vector[K_x] prior_beta_x_location;
  vector<lower=0>[K_x] prior_beta_x_scale;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // standardized deviations of b
  vector[U] mean_x; // means of true values
  vector<lower=0>[U] sd_x; // their standard deviations
  vector[K_x] beta_x;
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = diag_post_multiply(z, tau);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  mean_x ~ normal(prior_mean_x_location, prior_mean_x_scale);
  sd_x ~ exponential(prior_sd_x_rate);
  beta_x ~ normal(prior_beta_x_location, prior_beta_x_scale);
  sigma ~ exponential(prior_sigma_rate);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[n_seen] seen_mean = mean_x[seen_of] + seen_X * beta_x;
    seen ~ normal(seen_mean, hypot(sd_x[seen_of], seen_error));
    // means of true values, the weights that these have given what was
    // observed, and how far true values then are from in_X
    vector[n_unknown] expected = mean_x[unknown_of] + unknown_X * beta_x;
    vector[n_unknown] weight = inv(1 + precision .* square(sd_x[unknown_of]));
    vector[n_unknown] shift = weight .* (expected - in_X);
    vector[n_unknown] slope = beta[column[unknown_of]];
    vector[n_unknown] moves = slope .* shift;
    vector[n_unknown] spreads = square(slope .* sd_x[unknown_of]) .* weight;
    vector[N] x_effect = rep_vector(0, N);
    vector[N] var_x = rep_vector(0, N);
    for (i in 1 : n_unknown) {
      x_effect[unknown_row[i]] += moves[i];
      var_x[unknown_row[i]] += spreads[i];
    }
    vector[N] scale = sqrt(square(sigma) + var_x);
    y ~ normal_id_glm(X_c, alpha_c + group_effect + x_effect, beta, scale);
  }
}
generated quantities {
  matrix[J, Q] b = diag_post_multiply(z, tau);
  b += rep_matrix(mu, J);
}
