// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] is c with probability inv_logit(cutpoint[c] - eta[n]), given
//   that it is c or more
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
functions {
  // y = c, given that y >= c, with probability inv_logit(cutpoint[c] - eta):
  // of the rows that reach c, some stop there and the others go on
  real sratio_logit_lpmf(array[] int y, vector eta, vector cutpoint) {
    real lp = 0;
    for (c in 1 : rows(cutpoint)) {
      array[size(y)] int reached;
      array[size(y)] int stops;
      int found = 0;
      for (n in 1 : size(y)) {
        if (y[n] >= c) {
          found += 1;
          reached[found] = n;
          stops[found] = y[n] == c;
        }
      }
      lp += bernoulli_logit_lpmf(stops[1 : found] | cutpoint[c]
                                                   - eta[reached[1 : found]]);
    }
    return lp;
  }
  real sratio_logit_lpmf(int y, real eta, vector cutpoint) {
    real lp = 0;
    for (c in 1 : rows(cutpoint)) {
      if (y >= c) {
        lp += bernoulli_logit_lpmf(y == c | cutpoint[c] - eta);
      }
    }
    return lp;
  }
}
data {
  int<lower=1> N; // number of rows
  int<lower=2> C; // number of categories, which are ordered
  array[N] int<lower=1, upper=C> y; // outcome
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
  vector<lower=0>[C - 1] prior_cutpoint_df;
  vector[C - 1] prior_cutpoint_location;
  vector<lower=0>[C - 1] prior_cutpoint_scale;
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
  vector[C - 1] cutpoint_c; // cutpoints at X = x_bar
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  cutpoint_c ~ student_t(prior_cutpoint_df, prior_cutpoint_location,
                         prior_cutpoint_scale);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ sratio_logit(eta, cutpoint_c);
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at Z = 0
  b[ : , 1] -= b_c * z_bar';
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
