// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sqrt(square(sigma[n]) + var_x[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over unknown values of beta[column] * (true value - in_X)
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   true values of x ~ normal(mean_x, sd_x)
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
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector[U] prior_mean_x_location;
  vector<lower=0>[U] prior_mean_x_scale;
  vector<lower=0>[U] prior_sd_x_rate;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_sigma] prior_beta_sigma_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] b;
  vector[U] mean_x; // means of true values
  vector<lower=0>[U] sd_x; // their standard deviations
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_sigma] beta_sigma;
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = b - rep_matrix(mu, J);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  mean_x ~ normal(prior_mean_x_location, prior_mean_x_scale);
  sd_x ~ exponential(prior_sd_x_rate);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[n_seen] seen_mean = mean_x[seen_of];
    seen ~ normal(seen_mean, hypot(sd_x[seen_of], seen_error));
    // means of true values, the weights that these have given what was
    // observed, and how far true values then are from in_X
    vector[n_unknown] expected = mean_x[unknown_of];
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
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    vector[N] sigma = exp(eta_sigma);
    vector[N] scale = sqrt(square(sigma) + var_x);
    y ~ normal_id_glm(X_c, alpha_c + group_effect + x_effect, beta, scale);
  }
}
