// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] is 0 with probability hu, and else
//   lognormal(eta[n], sigma)
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
functions {
  // the rows whose outcome is 0, or with is_zero = 0 the others
  array[] int rows_where_zero(data vector y, int is_zero) {
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
  // 0 with probability hu, else lognormal
  real hurdle_lognormal_identity_lpdf(data vector y, vector eta, real sigma,
                                      real hu) {
    array[size(rows_where_zero(y, 0))] int above = rows_where_zero(y, 0);
    return (size(y) - size(above)) * log(hu) + size(above) * log1m(hu)
           + lognormal_lpdf(y[above] | eta[above], sigma);
  }
  real hurdle_lognormal_identity_lpdf(data vector y, vector eta,
                                      vector sigma, real hu) {
    array[size(rows_where_zero(y, 0))] int above = rows_where_zero(y, 0);
    return (size(y) - size(above)) * log(hu) + size(above) * log1m(hu)
           + lognormal_lpdf(y[above] | eta[above], sigma[above]);
  }
  real hurdle_lognormal_identity_lpdf(real y, real eta, real sigma, real hu) {
    if (y == 0) {
      return log(hu);
    }
    return log1m(hu) + lognormal_lpdf(y | eta, sigma);
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
  real<lower=0> prior_sigma_rate;
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
  real<lower=0> sigma; // residual scale
  real<lower=0, upper=1> hu; // probability of a zero
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  hu ~ beta(prior_hu_a, prior_hu_b);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ hurdle_lognormal_identity(eta, sigma, hu);
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at X = 0, Z = 0
  b[ : , 1] -= b_c * z_bar' + dot_product(x_bar, beta);
}
