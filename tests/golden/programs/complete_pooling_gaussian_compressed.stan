// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
data {
  int<lower=1> N; // rows that are left, turned by an orthogonal matrix
  vector[N] y; // outcome
  real y_bar; // was taken from the outcome
  real N_zero; // rows that turning has emptied
  int<lower=0> K; // population predictors
  int<lower=0> D; // columns of X: intercept, predictors
  matrix[N, D] X;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> sigma; // residual scale
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  if (prior_only == 0) {
    vector[D] theta = append_row(alpha_c - y_bar, beta);
    y ~ normal_id_glm(X, 0, theta, sigma);
    target += -N_zero * log(sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
