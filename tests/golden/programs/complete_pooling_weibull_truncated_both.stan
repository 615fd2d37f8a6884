// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ weibull(shape, exp(eta[n]) / tgamma(1 + 1 / shape))
//   eta[n] = alpha + X[n] * beta
//   y[n] is seen only from y_min[n] to y_max[n]
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
  vector[N] y_min; // truncation: outcomes below y_min are not seen
  vector[N] y_max; // truncation: outcomes above y_max are not seen
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
  real<lower=0> shape; // the hazard falls with y if shape < 1, else it rises
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  shape ~ inv_gamma(prior_shape_shape, prior_shape_scale);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    vector[N] scale = exp(eta - lgamma(1 + inv(shape)));
    y ~ weibull(shape, scale);
    for (n in 1 : N) {
      target += -weibull_interval(y_min[n], y_max[n], shape, scale[n]);
    }
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
