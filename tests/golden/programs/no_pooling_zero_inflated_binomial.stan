// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] is 0 with probability zi, and else
//   binomial(trials[n], inv_logit(eta[n]))
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
  // 0 with probability zi, else binomial with the probability inv_logit(eta)
  real zero_inflated_binomial_logit_lpmf(array[] int y, array[] int trials,
                                         vector eta, real zi) {
    array[size(rows_where_zero(y, 1))] int zeros = rows_where_zero(y, 1);
    array[size(y) - size(zeros)] int others = rows_where_zero(y, 0);
    vector[size(zeros)] log_zero = -to_vector(trials[zeros])
                                   .* log1p_exp(eta[zeros]);
    return size(zeros) * log(zi) + sum(log1p_exp(log_zero - logit(zi)))
           + size(others) * log1m(zi)
           + binomial_logit_lpmf(y[others] | trials[others], eta[others]);
  }
  real zero_inflated_binomial_logit_lpmf(int y, int trials, real eta,
                                         real zi) {
    real counted = log1m(zi) + binomial_logit_lpmf(y | trials, eta);
    return y == 0 ? log_sum_exp(log(zi), counted) : counted;
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> trials; // number of trials
  array[N] int<lower=0> y; // number of successes
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
  real<lower=0> prior_zi_a;
  real<lower=0> prior_zi_b;
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
  real<lower=0, upper=1> zi; // probability of a zero that is not of the counts
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  zi ~ beta(prior_zi_a, prior_zi_b);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z_c, b_c[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ zero_inflated_binomial_logit(trials, eta, zi);
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at X = 0, Z = 0
  b[ : , 1] -= b_c * z_bar' + dot_product(x_bar, beta);
}
