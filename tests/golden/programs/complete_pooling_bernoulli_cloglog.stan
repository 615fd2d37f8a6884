// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ bernoulli(inv_cloglog(eta[n]))
//   eta[n] = alpha + X[n] * beta
functions {
  // y ~ bernoulli(inv_cloglog(eta)), exact in both tails
  real bernoulli_cloglog_lpmf(array[] int y, vector eta) {
    vector[size(y)] hazard = exp(eta);
    vector[size(y)] is_one = to_vector(y);
    return dot_product(is_one, log1m_exp(-hazard))
           - dot_product(1 - is_one, hazard);
  }
  real bernoulli_cloglog_lpmf(int y, real eta) {
    return y ? log1m_exp(-exp(eta)) : -exp(eta);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0, upper=1> y; // outcome
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
    y ~ bernoulli_cloglog(eta);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
