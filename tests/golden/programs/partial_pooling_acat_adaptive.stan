// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] is c with probability inv_logit(cutpoint[c] - eta[n]), given
//   that it is c or c + 1
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
functions {
  // deviations u of coefficients from their mean. With centeredness 1 they are
  // z_scale * z - mean (centered); with centeredness 0 they are tau * z
  // (noncentered), because z_scale is tau_pilot there
  matrix partly_centered(matrix z, matrix mean, vector tau,
                         matrix centeredness, matrix z_scale,
                         vector tau_pilot) {
    matrix[rows(z), cols(z)] u;
    for (q in 1 : cols(z)) {
      u[ : , q] = (z_scale[ : , q] .* z[ : , q]
                   - centeredness[ : , q] .* mean[ : , q])
                  .* exp(log(tau[q] / tau_pilot[q])
                         * (1 - centeredness[ : , q]));
    }
    return u;
  }
  // z, made of v that are nearly independent a posteriori. The intercept or the
  // cutpoints can make up for a change of all z together: along this ridge of
  // the posterior, z vary more than v
  matrix along_ridge(matrix v, matrix ridge) {
    return v + diag_post_multiply(ridge, columns_dot_product(ridge, v));
  }
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
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  // how far each z and the cutpoints move along a ridge of the posterior
  matrix[J, Q] ridge;
  vector[Q] alpha_on_ridge;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
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
  matrix[J, Q] z; // coefficients, partly centered
  vector[C - 1] cutpoint_bar; // cutpoint_c less mean effects of groups
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_index]'; // means
  vector[C - 1] cutpoint_c = cutpoint_bar; // cutpoints at X = x_bar
  cutpoint_c += columns_dot_product(ridge, z) * alpha_on_ridge;
}
model {
  matrix[J, Q] mean = rep_matrix(mu, J); // of z
  matrix[J, Q] u = partly_centered(along_ridge(z, ridge), mean, tau,
                                   centeredness, z_scale, tau_pilot);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  cutpoint_c ~ student_t(prior_cutpoint_df, prior_cutpoint_location,
                         prior_cutpoint_scale);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ acat_logit(eta, cutpoint_c);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu, J);
  b += partly_centered(along_ridge(z, ridge), b, tau, centeredness, z_scale,
                       tau_pilot);
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
