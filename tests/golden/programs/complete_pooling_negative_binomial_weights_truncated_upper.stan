// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ neg_binomial_2(exp(eta[n]), phi)
//   eta[n] = alpha + X[n] * beta
//   the log likelihood of row n is multiplied by weights[n]
//   y[n] is seen only up to y_max[n]
functions {
  // log P(low <= Y <= high): a sum, until what is left is less than rounding
  real neg_binomial_2_log_interval(int low, int high, real eta, real phi) {
    real total = neg_binomial_2_log_lpmf(low | eta, phi);
    for (n in (low + 1) : high) {
      real term = neg_binomial_2_log_lpmf(n | eta, phi);
      if (n > exp(eta) && term < total - 40) {
        break;
      }
      total = log_sum_exp(total, term);
    }
    return total;
  }
  // log P(Y <= n)
  real neg_binomial_2_log_lcdf(int n, real eta, real phi) {
    return neg_binomial_2_log_interval(0, n, eta, phi);
  }
  // log P(Y > n): a sum of its own where it is too small to be a difference
  real neg_binomial_2_log_lccdf(int n, real eta, real phi) {
    if (n < 0) {
      return 0;
    }
    real below = neg_binomial_2_log_interval(0, n, eta, phi);
    if (n == 0 || below < -1e-6) {
      return log1m_exp(below);
    }
    return neg_binomial_2_log_interval(n + 1, 2 * n + 100, eta, phi);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
  vector<lower=0>[N] weights; // multiply the rows' log likelihoods
  array[N] int<lower=0> y_max; // truncation: outcomes above y_max are not seen
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_phi_shape;
  real<lower=0> prior_phi_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> phi; // variance is mean + mean^2 / phi
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  phi ~ inv_gamma(prior_phi_shape, prior_phi_scale);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    for (n in 1 : N) {
      target += weights[n] * neg_binomial_2_log_lpmf(y[n] | eta[n], phi);
    }
    for (n in 1 : N) {
      target += -weights[n] * neg_binomial_2_log_lcdf(y_max[n] | eta[n], phi);
    }
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
