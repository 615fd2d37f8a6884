// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], se[n])
//   eta[n] = X[n] * beta
//            + offsets[n]
//   row n counts weights[n] times
data {
  int<lower=1> N; // rows that are left, turned by an orthogonal matrix
  vector[N] y; // outcome
  int<lower=0> K; // population predictors
  int<lower=0> D; // columns of X: predictors
  matrix[N, D] X;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
parameters {
  vector[K] beta;
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    vector[D] theta = beta;
    y ~ normal_id_glm(X, 0, theta, 1.0);
  }
}
