// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ inverse_gaussian(exp(eta[n]), shape)
//   eta[n] = alpha + X[n] * beta
functions {
  // y inverse gaussian with mean exp(eta) and variance exp(3 * eta) / shape
  real inverse_gaussian_log_lpdf(real y, real eta, real shape) {
    return 0.5 * log(shape / (2 * pi())) - 1.5 * log(y)
           - 0.5 * shape * square(y * exp(-eta) - 1) / y;
  }
  real inverse_gaussian_log_lpdf(vector y, vector eta, real shape) {
    return 0.5 * size(y) * log(shape / (2 * pi())) - 1.5 * sum(log(y))
           - 0.5 * shape * sum(square(y .* exp(-eta) - 1) ./ y);
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0>[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_shape_shape;
  real<lower=0> prior_shape_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> shape; // variance is mean^3 / shape
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  shape ~ inv_gamma(prior_shape_shape, prior_shape_scale);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    y ~ inverse_gaussian_log(eta, shape);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
