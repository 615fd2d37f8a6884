// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = X[n] * beta
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X;
}
parameters {
  vector[K] beta;
  real<lower=0> sigma; // residual scale
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  if (prior_only == 0) {
    y ~ normal_id_glm(X_c, 0, beta, sigma);
  }
}
