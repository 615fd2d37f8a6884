// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], se[n])
//   eta[n] = X[n] * beta
//            + offsets[n]
//   the log likelihood of row n is multiplied by weights[n]
data {
  int<lower=1> N; // number of rows, after reduction by QR decompositions
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  int<lower=0> K_X; // columns of X: predictors
  matrix[N, K_X] X; // population predictors, reduced
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  vector[K] beta;
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    vector[K_X] theta = beta;
    y ~ normal_id_glm(X, 0, theta, 1.0);
  }
}
