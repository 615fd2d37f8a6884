// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] is c with probability inv_logit(cutpoint[c] - eta[n]), given
//   that it is c or c + 1
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
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
  vector[K] x_bar; // the prior on the cutpoints applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, beta)
  array[Q] int<lower=1, upper=K + 1> mean_index;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  vector<lower=0>[C - 1] prior_cutpoint_df;
  vector[C - 1] prior_cutpoint_location;
  vector<lower=0>[C - 1] prior_cutpoint_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // standardized deviations of b
  vector[C - 1] cutpoint_c; // cutpoints at X = x_bar
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = z * diag_pre_multiply(tau, L_Omega)';
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  cutpoint_c ~ student_t(prior_cutpoint_df, prior_cutpoint_location,
                         prior_cutpoint_scale);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ acat_logit(eta, cutpoint_c);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
