// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ neg_binomial_2(exp(eta[n]), phi)
//   eta[n] = alpha + X[n] * beta
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real lower_phi; // bounds
  real upper_phi;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=lower_phi, upper=upper_phi> phi; // variance is mean + mean^2 / phi
}
model {
  if (prior_only == 0) {
    // from 1e8 on, outcomes are Poisson and this function loses its digits
    y ~ neg_binomial_2_log_glm(X_c, alpha_c, beta, fmin(phi, 1e8));
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
