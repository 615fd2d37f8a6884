// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ binomial(trials[n], inv_logit(eta[n]))
//   eta[n] = X[n] * beta
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> trials; // number of trials
  array[N] int<lower=0> y; // number of successes
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
    if (K == 0) {
      // binomial_logit_glm does not accept zero predictors
      y ~ binomial_logit(trials, 0);
    } else {
      y ~ binomial_logit_glm(trials, X_c, 0, beta);
    }
  }
}
