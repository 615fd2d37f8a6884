// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ von_mises(2 * atan(eta[n]), kappa)
//   eta[n] = alpha + X[n] * beta
data {
  int<lower=1> N; // number of rows
  vector<lower=-pi(), upper=pi()>[N] y; // outcome: angles
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_kappa_shape;
  real<lower=0> prior_kappa_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> kappa; // concentration: 0 where all directions are alike
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  kappa ~ gamma(prior_kappa_shape, prior_kappa_rate);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    y ~ von_mises(2 * atan(eta), kappa);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
