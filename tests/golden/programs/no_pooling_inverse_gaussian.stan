// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] ~ inverse_gaussian(exp(eta[n]), shape)
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
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
  vector[K] x_bar; // the priors on intercepts apply at X = x_bar, Z = z_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of coefficients of each group
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of these coefficients
  row_vector[Q] z_bar;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_shape_shape;
  real<lower=0> prior_shape_scale;
  vector[Q] prior_b_location;
  vector<lower=0>[Q] prior_b_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, Q] Z_c = Z - rep_matrix(z_bar, N);
}
parameters {
  vector[K] beta;
  matrix[J, Q] b_c; // b at x_bar and z_bar
  real<lower=0> shape; // variance is mean^3 / shape
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  shape ~ inv_gamma(prior_shape_shape, prior_shape_scale);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ inverse_gaussian_log(eta, shape);
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at X = 0, Z = 0
  b[ : , 1] -= b_c * z_bar' + dot_product(x_bar, beta);
}
