// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ inverse_gaussian(exp(eta[n]), shape[n])
//   eta[n] = alpha + X[n] * beta
//   log(shape[n]) = alpha_shape + X_shape[n] * beta_shape
functions {
  // inverse gaussian with mean exp(eta[n]), variance exp(3 * eta[n]) / shape[n]
  real inverse_gaussian_log_lpdf(vector y, vector eta, vector shape) {
    return 0.5 * sum(log(shape / (2 * pi()))) - 1.5 * sum(log(y))
           - 0.5 * sum(shape .* square(y .* exp(-eta) - 1) ./ y);
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0>[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_shape; // number of population predictors
  matrix[N, K_shape] X_shape; // population predictors
  vector[K_shape] x_bar_shape; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_shape_location;
  real<lower=0> prior_Intercept_shape_scale;
  vector[K_shape] prior_beta_shape_location;
  vector<lower=0>[K_shape] prior_beta_shape_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_shape] X_c_shape = X_shape - rep_matrix(x_bar_shape', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_shape; // alpha_shape at x_bar_shape
  vector[K_shape] beta_shape;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_shape ~ normal(prior_Intercept_shape_location,
                         prior_Intercept_shape_scale);
  beta_shape ~ normal(prior_beta_shape_location, prior_beta_shape_scale);
  if (prior_only == 0) {
    vector[N] eta_shape = alpha_c_shape + X_c_shape * beta_shape;
    vector[N] shape = exp(eta_shape);
    vector[N] eta = alpha_c + X_c * beta;
    y ~ inverse_gaussian_log(eta, shape);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_shape = alpha_c_shape - dot_product(x_bar_shape, beta_shape);
}
