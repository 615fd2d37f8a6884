// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] ~ von_mises(2 * atan(eta[n]), kappa)
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
data {
  int<lower=1> N; // number of rows
  vector<lower=-pi(), upper=pi()>[N] y; // outcome: angles
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
  real<lower=0> prior_kappa_shape;
  real<lower=0> prior_kappa_rate;
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
  real<lower=0> kappa; // concentration: 0 where all directions are alike
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  kappa ~ gamma(prior_kappa_shape, prior_kappa_rate);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ von_mises(2 * atan(eta), kappa);
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at X = 0, Z = 0
  b[ : , 1] -= b_c * z_bar' + dot_product(x_bar, beta);
}
