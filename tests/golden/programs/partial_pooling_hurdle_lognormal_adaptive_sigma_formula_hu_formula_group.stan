// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] is 0 with probability hu[n], and else
//   lognormal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//   logit(hu[n]) = alpha_hu + X_hu[n] * beta_hu
//            + Z_hu[n] * u_hu[group_hu[n]]
//   b_hu[j] = mu_hu + u_hu[j]
//   u_hu[j, q] ~ normal(0, tau_hu[q])
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
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
  // the rows whose outcome is 0, or with is_zero = 0 the others
  array[] int rows_where_zero(data vector y, int is_zero) {
    array[size(y)] int places;
    int found = 0;
    for (n in 1 : size(y)) {
      if ((y[n] == 0) == is_zero) {
        found += 1;
        places[found] = n;
      }
    }
    return places[1 : found];
  }
  // 0 with probability hu[n], else lognormal
  real hurdle_lognormal_identity_lpdf(data vector y, vector eta,
                                      vector sigma, vector hu) {
    array[size(rows_where_zero(y, 0))] int above = rows_where_zero(y, 0);
    array[size(y) - size(above)] int zeros = rows_where_zero(y, 1);
    return sum(log(hu[zeros])) + sum(log1m(hu[above]))
           + lognormal_lpdf(y[above] | eta[above], sigma[above]);
  }
  real hurdle_lognormal_identity_lpdf(data vector y, vector eta, real sigma,
                                      vector hu) {
    array[size(rows_where_zero(y, 0))] int above = rows_where_zero(y, 0);
    array[size(y) - size(above)] int zeros = rows_where_zero(y, 1);
    return sum(log(hu[zeros])) + sum(log1m(hu[above]))
           + lognormal_lpdf(y[above] | eta[above], sigma);
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0>[N] y; // outcome
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
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  int<lower=0> K_hu; // number of population predictors
  matrix[N, K_hu] X_hu; // population predictors
  vector[K_hu] x_bar_hu; // where the prior on the intercept applies
  int<lower=1> J_hu; // number of groups
  int<lower=1> Q_hu; // number of varying coefficients
  array[N] int<lower=1, upper=J_hu> group_hu; // group of each row
  matrix[N, Q_hu] Z_hu; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_hu, beta_hu)
  array[Q_hu] int<lower=1, upper=K_hu + 2> mean_index_hu;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_sigma] prior_beta_sigma_scale;
  real prior_Intercept_hu_location;
  real<lower=0> prior_Intercept_hu_scale;
  vector[K_hu] prior_beta_hu_location;
  vector<lower=0>[K_hu] prior_beta_hu_scale;
  vector<lower=0>[Q_hu] prior_tau_hu_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
  matrix[N, K_hu] X_c_hu = X_hu - rep_matrix(x_bar_hu', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  real alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_sigma] beta_sigma;
  real alpha_c_hu; // alpha_hu at x_bar_hu
  vector[K_hu] beta_hu;
  vector<lower=0>[Q_hu] tau_hu; // population scales
  matrix[J_hu, Q_hu] z_hu; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
  real alpha_hu = alpha_c_hu - dot_product(x_bar_hu, beta_hu);
  row_vector[Q_hu] mu_hu;
  mu_hu = append_row([0, alpha_hu]', beta_hu)[mean_index_hu]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  // deviations of groups from their means
  matrix[J_hu, Q_hu] u_hu;
  u_hu = diag_post_multiply(z_hu, tau_hu);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  alpha_c_hu ~ normal(prior_Intercept_hu_location, prior_Intercept_hu_scale);
  beta_hu ~ normal(prior_beta_hu_location, prior_beta_hu_scale);
  tau_hu ~ exponential(prior_tau_hu_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  to_vector(z_hu) ~ std_normal(); // implies the distribution of u_hu
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma;
    vector[N] eta_hu = alpha_c_hu + X_c_hu * beta_hu;
    eta_hu += rows_dot_product(Z_hu, u_hu[group_hu]);
    vector[N] sigma = exp(eta_sigma);
    vector[N] hu = inv_logit(eta_hu);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y ~ hurdle_lognormal_identity(eta, sigma, hu);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_hu, Q_hu] b_hu;
  b_hu = diag_post_multiply(z_hu, tau_hu);
  b_hu += rep_matrix(mu_hu, J_hu);
}
