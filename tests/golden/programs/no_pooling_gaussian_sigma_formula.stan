// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the priors on intercepts apply at X = x_bar, Z = z_bar
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of coefficients of each group
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of these coefficients
  row_vector[Q] z_bar;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_sigma] prior_beta_sigma_scale;
  vector[Q] prior_b_location;
  vector<lower=0>[Q] prior_b_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
  matrix[N, Q] Z_c = Z - rep_matrix(z_bar, N);
}
parameters {
  vector[K] beta;
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_sigma] beta_sigma;
  matrix[J, Q] b_c; // b at x_bar and z_bar
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    vector[N] sigma = exp(eta_sigma);
    y ~ normal_id_glm(X_c, group_effect, beta, sigma);
  }
}
generated quantities {
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
  matrix[J, Q] b = b_c; // intercepts at X = 0, Z = 0
  b[ : , 1] -= b_c * z_bar' + dot_product(x_bar, beta);
}
