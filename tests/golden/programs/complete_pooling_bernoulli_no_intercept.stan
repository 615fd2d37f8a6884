// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ bernoulli(inv_logit(eta[n]))
//   eta[n] = X[n] * beta
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0, upper=1> y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X;
}
parameters {
  vector[K] beta;
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    y ~ bernoulli_logit_glm(X_c, 0, beta);
  }
}
