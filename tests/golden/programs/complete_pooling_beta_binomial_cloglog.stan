// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ beta_binomial(trials[n], phi * mu[n], phi * (1 - mu[n]))
//   mu[n] = inv_cloglog(eta[n])
//   eta[n] = alpha + X[n] * beta
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> trials;
  array[N] int<lower=0> y; // successes
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_phi_shape;
  real<lower=0> prior_phi_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> phi; // two trials of a row correlate by 1 / (1 + phi)
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  phi ~ inv_gamma(prior_phi_shape, prior_phi_scale);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    // from 1e8 on, outcomes are binomial and lgamma() has no digits to spare
    real precision = fmin(phi, 1e8);
    y ~ beta_binomial(trials, precision * -expm1(-exp(eta)),
                      precision * exp(-exp(eta)));
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
