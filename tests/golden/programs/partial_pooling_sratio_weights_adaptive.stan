// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] is c with probability inv_logit(cutpoint[c] - eta[n]), given
//   that it is c or more
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   the log likelihood of row n is multiplied by weights[n]
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
  vector<lower=0>[N] weights; // multiply the rows' log likelihoods
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
    for (n in 1 : N) {
      target += weights[n] * sratio_logit_lpmf(y[n] | eta[n], cutpoint_c);
    }
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu, J);
  b += partly_centered(along_ridge(z, ridge), b, tau, centeredness, z_scale,
                       tau_pilot);
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
