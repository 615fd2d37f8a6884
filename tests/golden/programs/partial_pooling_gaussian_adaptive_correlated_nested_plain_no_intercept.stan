// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//            + Z_2[n] * u_2[group_2[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
functions {
  // log density of the rows of u, each multi_normal(0, L * L')
  real multi_normal_rows_lpdf(matrix u, matrix L) {
    return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u')))
           - rows(u) * sum(log(diagonal(L)));
  }
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
  // the same for correlated coefficients: in groups with decorrelated = 1 the z
  // are uncorrelated, and their deviations are multiplied by L_Omega
  matrix partly_centered_correlated(matrix z, matrix mean, vector tau,
                                    matrix L_Omega, matrix centeredness,
                                    matrix z_scale, vector tau_pilot,
                                    vector decorrelated) {
    matrix[rows(z), cols(z)] deviations = z - centeredness .* mean ./ z_scale;
    matrix[rows(z), cols(z)] correlated = deviations * add_diag(L_Omega, -1)';
    return partly_centered(z + rep_matrix(decorrelated, cols(z)) .* correlated,
                           mean, tau, centeredness, z_scale, tau_pilot);
  }
  // coefficients of the outer groups that groups are in, in the columns of the
  // groups' own coefficients; 0 for those that outer groups do not have
  matrix of_outer_groups(matrix coefficients, array[] int outer,
                         array[] int column) {
    int J = rows(coefficients);
    return append_col(rep_vector(0, J), coefficients)[outer, column];
  }
  // where the Q coefficients of each row's group are in to_vector(u), after the
  // coefficients of other factors; u has J rows
  array[,] int u_positions(array[] int group, int J, int Q, int before) {
    array[Q, size(group)] int u_index;
    for (q in 1 : Q) {
      for (n in 1 : size(group)) {
        u_index[q, n] = before + (q - 1) * J + group[n];
      }
    }
    return u_index;
  }
  // log density of all rows, where
  //   y[n] ~ normal(eta[n], sigma)
  //   eta[n] = alpha + X[n] * beta + sum over r of Z[n, r] * u[u_index[r, n]]
  real grouped_gaussian_identity_glm_lpdf(vector y, real sigma, matrix X,
                                          real alpha, vector beta, matrix Z,
                                          array[,] int u_index, vector u) {
    int N = size(y);
    vector[N] eta = alpha + X * beta;
    for (r in 1 : cols(Z)) {
      eta += Z[ : , r] .* u[u_index[r]];
    }
    return normal_lupdf(y | eta, sigma);
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
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
  // the outer groups that each group is in, and where the coefficients of these
  // stand for its own: by their position in (0, coefficients)
  array[1, J] int<lower=1> outer;
  array[1, Q] int<lower=1> outer_column;
  vector<lower=0, upper=1>[J] decorrelated; // 1: z is uncorrelated
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  array[N] int<lower=1, upper=J_2> group_2; // group of each row
  matrix[N, Q_2] Z_2; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, beta)
  array[Q_2] int<lower=1, upper=K + 1> mean_index_2;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J_2, Q_2] centeredness_2;
  matrix<lower=0>[J_2, Q_2] z_scale_2; // gives z_2 a scale near 1
  vector<lower=0>[Q_2] tau_pilot_2; // estimate of tau_2
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X;
  array[Q, N] int places = u_positions(group, J, Q, 0);
  array[Q_2, N] int places_2 = u_positions(group_2, J_2, Q_2, J * Q);
  matrix[N, Q + Q_2] Z_all = append_col(Z, Z_2);
  array[Q + Q_2, N] int u_index = append_array(places, places_2);
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // coefficients, partly centered
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] z_2; // coefficients, partly centered
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_index]'; // means
  row_vector[Q_2] mu_2 = append_row(0, beta)[mean_index_2]'; // means
}
model {
  matrix[J_2, Q_2] mean_2 = rep_matrix(mu_2, J_2); // of b_2
  matrix[J_2, Q_2] u_2 = partly_centered(z_2, mean_2, tau_2, centeredness_2,
                                         z_scale_2, tau_pilot_2);
  matrix[J, Q] mean = rep_matrix(mu, J); // of b
  matrix[J, Q] center = mean; // of z
  center += of_outer_groups(mean_2 + u_2, outer[1], outer_column[1]);
  matrix[J, Q] u = partly_centered_correlated(z, center, tau, L_Omega,
                                              centeredness, z_scale,
                                              tau_pilot, decorrelated);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ exponential(prior_sigma_rate);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  target += sum(decorrelated) * sum(log(diagonal(L_Omega)));
  for (q in 1 : Q_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  // Jacobian of b_2 as a function of z_2
  target += ones_row_vector(J_2) * (1 - centeredness_2) * log(tau_2);
  if (prior_only == 0) {
    y ~ grouped_gaussian_identity_glm(sigma, X_c, 0, beta, Z_all, u_index,
                                      append_row(to_vector(u),
                                                 to_vector(u_2)));
  }
}
generated quantities {
  matrix[J_2, Q_2] b_2 = rep_matrix(mu_2, J_2);
  b_2 += partly_centered(z_2, b_2, tau_2, centeredness_2, z_scale_2,
                         tau_pilot_2);
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = rep_matrix(mu, J);
  {
    matrix[J, Q] center = b; // of z
    center += of_outer_groups(b_2, outer[1], outer_column[1]);
    b += partly_centered_correlated(z, center, tau, L_Omega, centeredness,
                                    z_scale, tau_pilot, decorrelated);
  }
}
