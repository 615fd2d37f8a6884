// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ von_mises(2 * atan(eta[n]), kappa[n])
//   eta[n] = alpha + X[n] * beta
//   log(kappa[n]) = alpha_kappa + X_kappa[n] * beta_kappa
data {
  int<lower=1> N; // number of rows
  vector<lower=-pi(), upper=pi()>[N] y; // outcome: angles
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_kappa; // number of population predictors
  matrix[N, K_kappa] X_kappa; // population predictors
  vector[K_kappa] x_bar_kappa; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_kappa_location;
  real<lower=0> prior_Intercept_kappa_scale;
  vector[K_kappa] prior_beta_kappa_location;
  vector<lower=0>[K_kappa] prior_beta_kappa_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_kappa] X_c_kappa = X_kappa - rep_matrix(x_bar_kappa', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_kappa; // alpha_kappa at x_bar_kappa
  vector[K_kappa] beta_kappa;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_kappa ~ normal(prior_Intercept_kappa_location,
                         prior_Intercept_kappa_scale);
  beta_kappa ~ normal(prior_beta_kappa_location, prior_beta_kappa_scale);
  if (prior_only == 0) {
    vector[N] eta_kappa = alpha_c_kappa + X_c_kappa * beta_kappa;
    vector[N] kappa = exp(eta_kappa);
    vector[N] eta = alpha_c + X_c * beta;
    y ~ von_mises(2 * atan(eta), kappa);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_kappa = alpha_c_kappa - dot_product(x_bar_kappa, beta_kappa);
}
