// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] is c with probability inv_logit(cutpoint[c] - eta[n]), given
//   that it is c or more
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
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
    y ~ sratio_logit(eta, cutpoint_c);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
