// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ poisson(exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//   y[n] is seen only from y_min[n] to y_max[n]
functions {
  // log P(low <= Y <= high): a sum, until what is left is less than rounding
  real poisson_log_interval(int low, int high, real eta) {
    real total = poisson_log_lpmf(low | eta);
    for (n in (low + 1) : high) {
      real term = poisson_log_lpmf(n | eta);
      if (n > exp(eta) && term < total - 40) {
        break;
      }
      total = log_sum_exp(total, term);
    }
    return total;
  }
  // log P(Y <= n)
  real poisson_log_lcdf(int n, real eta) {
    return poisson_log_interval(0, n, eta);
  }
  // log P(Y > n): a sum of its own where it is too small to be a difference
  real poisson_log_lccdf(int n, real eta) {
    if (n < 0) {
      return 0;
    }
    real below = poisson_log_interval(0, n, eta);
    if (n == 0 || below < -1e-6) {
      return log1m_exp(below);
    }
    return poisson_log_interval(n + 1, 2 * n + 100, eta);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
  array[N] int<lower=0> y_min; // truncation: outcomes below y_min are not seen
  array[N] int<lower=0> y_max; // truncation: outcomes above y_max are not seen
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    y ~ poisson_log(eta);
    for (n in 1 : N) {
      target += -poisson_log_interval(y_min[n], y_max[n], eta[n]);
    }
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
