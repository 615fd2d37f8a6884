// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sqrt(square(sigma_j[group_sigma[n]]) + var_x[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over unknown values of beta[column] * (true value - in_X)
//   sigma_j[j] ~ lognormal(log(sigma), tau_sigma)
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   true values of x ~ normal(mean_x, sd_x)
//   seen ~ normal(true value, seen_error)
//   unknown values are integrated out, and add var_x[n] to the variance
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
functions {
  // deviations u of coefficients from their mean. With centeredness 1 they are
  // z_scale * z - mean (centered); with centeredness 0 they are tau * z
  // (noncentered), because z_scale is tau_pilot there
  matrix partly_centered(matrix z, matrix mean, vector tau,
                         matrix centeredness, matrix z_scale,
                         vector tau_pilot) {
    matrix[rows(z), cols(z)] u;
    for (q in 1 : cols(z)) {
      u[ : , q] = (z_scale[ : , q] .* z[ : , q]
                   - centeredness[ : , q] .* mean[ : , q])
                  .* exp(log(tau[q] / tau_pilot[q])
                         * (1 - centeredness[ : , q]));
    }
    return u;
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=1> J_sigma; // number of groups with their own residual scale
  array[N] int<lower=1, upper=J_sigma> group_sigma; // that of each row
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
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
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector[U] prior_mean_x_location;
  vector<lower=0>[U] prior_mean_x_scale;
  vector<lower=0>[U] prior_sd_x_rate;
  real<lower=0> prior_sigma_rate;
  real<lower=0> prior_tau_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  vector[U] mean_x; // means of true values
  vector<lower=0>[U] sd_x; // their standard deviations
  real<lower=0> sigma; // residual scale
  real<lower=0> tau_sigma; // standard deviation of log(sigma_j)
  vector[J_sigma] z_sigma; // standardized deviations of log(sigma_j)
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  vector<lower=0>[J_sigma] sigma_j = sigma * exp(tau_sigma * z_sigma);
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  mean_x ~ normal(prior_mean_x_location, prior_mean_x_scale);
  sd_x ~ exponential(prior_sd_x_rate);
  sigma ~ exponential(prior_sigma_rate);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  z_sigma ~ std_normal(); // implies the distribution of sigma_j
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
    vector[N] scale = sqrt(square(sigma_j[group_sigma]) + var_x);
    y ~ normal_id_glm(X_c, alpha_c + group_effect + x_effect, beta, scale);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
