// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] ~ normal(eta[n], se[n])
//   eta[n] = alpha + X[n] * beta + Z[n] * b[group[n]]
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  vector<lower=0>[N] se; // known standard errors of y
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the priors on intercepts apply at X = x_bar, Z = z_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of coefficients of each group
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of these coefficients
  row_vector[Q] z_bar;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector[Q] prior_b_location;
  vector<lower=0>[Q] prior_b_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, Q] Z_c = Z - rep_matrix(z_bar, N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  matrix[J, Q] b_c; // b at x_bar and z_bar
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, se);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  matrix[J, Q] b = b_c;
}
