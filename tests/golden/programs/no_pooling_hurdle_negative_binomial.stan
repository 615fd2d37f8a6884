// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] is 0 with probability hu, and else
//   neg_binomial_2(exp(eta[n]), phi), truncated to counts above 0
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
functions {
  // the rows whose count is 0, or with is_zero = 0 the others
  array[] int rows_where_zero(array[] int y, int is_zero) {
    array[size(y)] int places;
    int found = 0;
    for (n in 1 : size(y)) {
      if ((y[n] == 0) == is_zero) {
        found += 1;
        places[found] = n;
      }
    }
    return places[1 : found];
  }
  // 0 with probability hu, else a positive negative binomial count
  real hurdle_negative_binomial_log_lpmf(array[] int y, vector eta, real phi,
                                         real hu) {
    array[size(rows_where_zero(y, 0))] int others = rows_where_zero(y, 0);
    vector[size(others)] log_zero = -phi * log1p_exp(eta[others] - log(phi));
    return (size(y) - size(others)) * log(hu) + size(others) * log1m(hu)
           + neg_binomial_2_log_lpmf(y[others] | eta[others], phi)
           - sum(log1m_exp(log_zero));
  }
  real hurdle_negative_binomial_log_lpmf(int y, real eta, real phi, real hu) {
    real log_zero = -phi * log1p_exp(eta - log(phi));
    real positive = log1m(hu) + neg_binomial_2_log_lpmf(y | eta, phi)
                    - log1m_exp(log_zero);
    return y == 0 ? log(hu) : positive;
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
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
  real<lower=0> prior_phi_shape;
  real<lower=0> prior_phi_scale;
  real<lower=0> prior_hu_a;
  real<lower=0> prior_hu_b;
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
  real<lower=0> phi; // variance of the counts is mean + mean^2 / phi
  real<lower=0, upper=1> hu; // probability of a zero
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  phi ~ inv_gamma(prior_phi_shape, prior_phi_scale);
  hu ~ beta(prior_hu_a, prior_hu_b);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    vector[N] eta = group_effect + X_c * beta;
    // from 1e8 on, counts are Poisson and lgamma() has no digits to spare
    real precision = fmin(phi, 1e8);
    y ~ hurdle_negative_binomial_log(eta, precision, hu);
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at X = 0, Z = 0
  b[ : , 1] -= b_c * z_bar' + dot_product(x_bar, beta);
}
