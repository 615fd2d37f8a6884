// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + sum over m of weight[n, m] * Z[n] * u[group[n, m]]
//            + Z_2[n] * u_2[group_2[n]]
//   where the outcome is censored, y[n] is its bound; where it is in an
//   interval, y[n] and y_upper[n] are the ends
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
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
  // log probability of an outcome between low and high, from the nearer tail
  real normal_interval(real low, real high, real eta, real sigma) {
    if (low > eta) {
      return log_diff_exp(normal_lcdf(-low | -eta, sigma),
                          normal_lcdf(-high | -eta, sigma));
    }
    return log_diff_exp(normal_lcdf(high | eta, sigma),
                        normal_lcdf(low | eta, sigma));
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> n_observed; // number of rows whose outcome is observed
  array[n_observed] int<lower=1, upper=N> observed;
  int<lower=0> n_left; // number of rows whose outcome is at most y
  array[n_left] int<lower=1, upper=N> left;
  int<lower=0> n_right; // number of rows whose outcome is at least y
  array[n_right] int<lower=1, upper=N> right;
  int<lower=0> n_interval; // number of rows with y < outcome < y_upper
  array[n_interval] int<lower=1, upper=N> interval;
  vector[N] y_upper;
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  int<lower=1> M; // number of memberships of each row
  // groups of each row
  array[N, M] int<lower=1, upper=J> group;
  matrix<lower=0>[N, M] weight; // weights of the memberships
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  // the mean that z is centered at, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> center_index;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  // how far each z and the intercept move along a ridge of the posterior
  matrix[J, Q] ridge;
  vector[Q] alpha_on_ridge;
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  array[N] int<lower=1, upper=J_2> group_2; // group of each row
  matrix[N, Q_2] Z_2; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> mean_index_2;
  // the mean that z_2 is centered at, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> center_index_2;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J_2, Q_2] centeredness_2;
  matrix<lower=0>[J_2, Q_2] z_scale_2; // gives z_2 a scale near 1
  vector<lower=0>[Q_2] tau_pilot_2; // estimate of tau_2
  // how far each z_2 and the intercept move along a ridge of the posterior
  matrix[J_2, Q_2] ridge_2;
  vector[Q_2] alpha_on_ridge_2;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_bar; // alpha_c plus mean effects of groups
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] z_2; // coefficients, partly centered
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha_c = alpha_bar; // alpha at x_bar
  alpha_c -= columns_dot_product(ridge, z) * alpha_on_ridge;
  alpha_c -= columns_dot_product(ridge_2, z_2) * alpha_on_ridge_2;
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_bar]', beta)[center_index]';
  row_vector[Q_2] mu_2 = append_row([0, alpha]', beta)[mean_index_2]'; // means
  row_vector[Q_2] mu_c_2 = append_row([0, alpha_bar]', beta)[center_index_2]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of z at x_bar
  matrix[J, Q] u = partly_centered(along_ridge(z, ridge), mean, tau,
                                   centeredness, z_scale, tau_pilot);
  matrix[J_2, Q_2] mean_2 = rep_matrix(mu_c_2, J_2); // of z_2 at x_bar
  matrix[J_2, Q_2] u_2 = partly_centered(along_ridge(z_2, ridge_2), mean_2,
                                         tau_2, centeredness_2, z_scale_2,
                                         tau_pilot_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  sigma ~ exponential(prior_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  for (q in 1 : Q_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  // Jacobian of b_2 as a function of z_2
  target += ones_row_vector(J_2) * (1 - centeredness_2) * log(tau_2);
  if (prior_only == 0) {
    vector[N] group_effect = rep_vector(0, N);
    for (m in 1 : M) {
      vector[N] effect = rows_dot_product(Z, u[group[ : , m]]);
      group_effect += weight[ : , m] .* effect;
    }
    group_effect += rows_dot_product(Z_2, u_2[group_2]);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y[observed] ~ normal(eta[observed], sigma);
    target += normal_lcdf(y[left] | eta[left], sigma);
    target += normal_lcdf(-y[right] | -eta[right], sigma);
    for (n in interval) {
      target += normal_interval(y[n], y_upper[n], eta[n], sigma);
    }
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(along_ridge(z, ridge), b, tau, centeredness, z_scale,
                       tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_2, Q_2] b_2 = rep_matrix(mu_c_2, J_2);
  b_2 += partly_centered(along_ridge(z_2, ridge_2), b_2, tau_2,
                         centeredness_2, z_scale_2, tau_pilot_2);
  b_2 += rep_matrix(mu_2 - mu_c_2, J_2); // at X = 0
}
