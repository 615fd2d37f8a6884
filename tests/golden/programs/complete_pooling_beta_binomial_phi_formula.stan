// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ beta_binomial(trials[n], phi[n] * mu[n], phi[n] * (1 - mu[n]))
//   mu[n] = inv_logit(eta[n])
//   eta[n] = alpha + X[n] * beta
//   log(phi[n]) = alpha_phi + X_phi[n] * beta_phi
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> trials;
  array[N] int<lower=0> y; // successes
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_phi; // number of population predictors
  matrix[N, K_phi] X_phi; // population predictors
  vector[K_phi] x_bar_phi; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_phi_location;
  real<lower=0> prior_Intercept_phi_scale;
  vector[K_phi] prior_beta_phi_location;
  vector<lower=0>[K_phi] prior_beta_phi_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_phi] X_c_phi = X_phi - rep_matrix(x_bar_phi', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_phi; // alpha_phi at x_bar_phi
  vector[K_phi] beta_phi;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_phi ~ normal(prior_Intercept_phi_location,
                       prior_Intercept_phi_scale);
  beta_phi ~ normal(prior_beta_phi_location, prior_beta_phi_scale);
  if (prior_only == 0) {
    vector[N] eta_phi = alpha_c_phi + X_c_phi * beta_phi;
    vector[N] phi = exp(eta_phi);
    vector[N] eta = alpha_c + X_c * beta;
    // from 1e8 on, outcomes are binomial and lgamma() has no digits to spare
    vector[N] precision = fmin(phi, 1e8);
    y ~ beta_binomial(trials, precision .* inv_logit(eta),
                      precision .* inv_logit(-eta));
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_phi = alpha_c_phi - dot_product(x_bar_phi, beta_phi);
}
