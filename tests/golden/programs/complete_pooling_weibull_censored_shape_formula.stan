// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ weibull(shape[n], exp(eta[n]) / tgamma(1 + 1 / shape[n]))
//   eta[n] = alpha + X[n] * beta
//   where the outcome is censored, y[n] is its bound; where it is in an
//   interval, y[n] and y_upper[n] are the ends
//   log(shape[n]) = alpha_shape + X_shape[n] * beta_shape
functions {
  // log probability of an outcome between two bounds, exact in both tails
  real weibull_interval(real low, real high, real shape, real scale) {
    return log_diff_exp(weibull_lccdf(low | shape, scale),
                        weibull_lccdf(high | shape, scale));
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0>[N] y; // outcome
  int<lower=0> n_observed; // number of rows whose outcome is observed
  array[n_observed] int<lower=1, upper=N> observed;
  int<lower=0> n_left; // number of rows whose outcome is at most y
  array[n_left] int<lower=1, upper=N> left;
  int<lower=0> n_right; // number of rows whose outcome is at least y
  array[n_right] int<lower=1, upper=N> right;
  int<lower=0> n_interval; // number of rows with y < outcome < y_upper
  array[n_interval] int<lower=1, upper=N> interval;
  vector[N] y_upper;
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
    vector[N] scale = exp(eta - lgamma(1 + inv(shape)));
    y[observed] ~ weibull(shape[observed], scale[observed]);
    target += weibull_lcdf(y[left] | shape[left], scale[left]);
    target += weibull_lccdf(y[right] | shape[right], scale[right]);
    for (n in interval) {
      target += weibull_interval(y[n], y_upper[n], shape[n], scale[n]);
    }
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_shape = alpha_c_shape - dot_product(x_bar_shape, beta_shape);
}
