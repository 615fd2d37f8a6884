// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] is c with probability inv_logit(cutpoint[c] - eta[n]), given
//   that it is c or c + 1
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
functions {
  // y = c, given that it is c or c + 1, with probability
  // inv_logit(cutpoint[c] - eta): the log odds of c against 1 are
  // (c - 1) * eta less the sum of the first c - 1 cutpoints
  real acat_logit_lpmf(array[] int y, vector eta, vector cutpoint) {
    int C = rows(cutpoint) + 1;
    vector[C] steps = linspaced_vector(C, 0, C - 1);
    vector[C] sums = append_row(0, cumulative_sum(cutpoint));
    vector[size(y)] total;
    for (n in 1 : size(y)) {
      total[n] = log_sum_exp(eta[n] * steps - sums);
    }
    return dot_product(to_vector(y) - 1, eta) - sum(sums[y]) - sum(total);
  }
  real acat_logit_lpmf(int y, real eta, vector cutpoint) {
    vector[rows(cutpoint)] log_odds = cumulative_sum(eta - cutpoint);
    return categorical_logit_lpmf(y | append_row(0, log_odds));
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
    y ~ acat_logit(eta, cutpoint_c);
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at Z = 0
  b[ : , 1] -= b_c * z_bar';
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
