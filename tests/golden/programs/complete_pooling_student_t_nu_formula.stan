// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ student_t(nu[n], eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//   log(nu[n]) = alpha_nu + X_nu[n] * beta_nu
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_nu; // number of population predictors
  matrix[N, K_nu] X_nu; // population predictors
  vector[K_nu] x_bar_nu; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_sigma_rate;
  real prior_Intercept_nu_location;
  real<lower=0> prior_Intercept_nu_scale;
  vector[K_nu] prior_beta_nu_location;
  vector<lower=0>[K_nu] prior_beta_nu_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_nu] X_c_nu = X_nu - rep_matrix(x_bar_nu', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_nu; // alpha_nu at x_bar_nu
  vector[K_nu] beta_nu;
  real<lower=0> sigma; // residual scale
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  alpha_c_nu ~ normal(prior_Intercept_nu_location, prior_Intercept_nu_scale);
  beta_nu ~ normal(prior_beta_nu_location, prior_beta_nu_scale);
  if (prior_only == 0) {
    vector[N] eta_nu = alpha_c_nu + X_c_nu * beta_nu;
    vector[N] nu = exp(eta_nu);
    vector[N] eta = alpha_c + X_c * beta;
    y ~ student_t(nu, eta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_nu = alpha_c_nu - dot_product(x_bar_nu, beta_nu);
}
