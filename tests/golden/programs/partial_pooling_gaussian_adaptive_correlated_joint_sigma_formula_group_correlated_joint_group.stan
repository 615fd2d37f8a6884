// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//            + Z_sigma[n] * u_sigma[group_sigma[n]]
//            + Z_sigma_2[n] * u_sigma_2[group_sigma_2[n]]
//   b_sigma[j] = mu_sigma + u_sigma[j]
//   b_sigma_2[j] = mu_sigma_2 + u_sigma_2[j]
//   u_sigma_2[j, q] ~ normal(0, tau_sigma_2[q])
//   b[j] = mu + u[j]
//   [u, u_sigma][j] ~ multi_normal(0,
//     D * Omega * D), where D = diag([tau, tau_sigma])
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
  // deviations of groups with the scales tau, correlated with others of these
  // groups, of which v are the standardized ones
  matrix correlated_with(matrix v, matrix z, vector tau, matrix L_Omega) {
    int D = cols(v);
    int Q = cols(z);
    return append_col(v, z)
           * diag_pre_multiply(tau, block(L_Omega, D + 1, 1, Q, D + Q))';
  }
  // what deviations u with scales tau and correlations L * L' are made of
  matrix standardized(matrix u, vector tau, matrix L) {
    return mdivide_left_tri_low(diag_pre_multiply(tau, L), u')';
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  vector<lower=0, upper=1>[J] decorrelated; // 1: z is uncorrelated
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  int<lower=1> J_sigma; // number of groups
  int<lower=1> Q_sigma; // number of varying coefficients
  array[N] int<lower=1, upper=J_sigma> group_sigma; // group of each row
  matrix[N, Q_sigma] Z_sigma; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_sigma, beta_sigma)
  array[Q_sigma] int<lower=1, upper=K_sigma + 2> mean_index_sigma;
  int<lower=1> J_sigma_2; // number of groups
  int<lower=1> Q_sigma_2; // number of varying coefficients
  array[N] int<lower=1, upper=J_sigma_2> group_sigma_2; // group of each row
  matrix[N, Q_sigma_2] Z_sigma_2; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_sigma, beta_sigma)
  array[Q_sigma_2] int<lower=1, upper=K_sigma + 2> mean_index_sigma_2;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_sigma] prior_beta_sigma_scale;
  vector<lower=0>[Q_sigma] prior_tau_sigma_rate;
  vector<lower=0>[Q_sigma_2] prior_tau_sigma_2_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q + Q_sigma] L_Omega;
  matrix[J, Q] z; // coefficients, partly centered
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_sigma] beta_sigma;
  vector<lower=0>[Q_sigma] tau_sigma; // population scales
  matrix[J_sigma, Q_sigma] z_sigma; // standardized deviations
  vector<lower=0>[Q_sigma_2] tau_sigma_2; // population scales
  matrix[J_sigma_2, Q_sigma_2] z_sigma_2; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  matrix[Q, Q] L_u = block(L_Omega, 1, 1, Q, Q);
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
  row_vector[Q_sigma] mu_sigma;
  mu_sigma = append_row([0, alpha_sigma]', beta_sigma)[mean_index_sigma]';
  row_vector[Q_sigma_2] mu_sigma_2;
  mu_sigma_2 = append_row([0, alpha_sigma]', beta_sigma)[mean_index_sigma_2]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered_correlated(z, mean, tau, L_u,
                                              centeredness, z_scale,
                                              tau_pilot, decorrelated);
  // deviations of groups from their means
  matrix[J, Q] v = standardized(u, tau, L_u);
  matrix[J_sigma, Q_sigma] u_sigma;
  u_sigma = correlated_with(v, z_sigma, tau_sigma, L_Omega);
  matrix[J_sigma_2, Q_sigma_2] u_sigma_2;
  u_sigma_2 = diag_post_multiply(z_sigma_2, tau_sigma_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  tau_sigma_2 ~ exponential(prior_tau_sigma_2_rate);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_u));
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  target += sum(decorrelated) * sum(log(diagonal(L_u)));
  to_vector(z_sigma) ~ std_normal(); // implies the distribution of u_sigma
  to_vector(z_sigma_2) ~ std_normal(); // implies the distribution of u_sigma_2
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    eta_sigma += rows_dot_product(Z_sigma, u_sigma[group_sigma]);
    eta_sigma += rows_dot_product(Z_sigma_2, u_sigma_2[group_sigma_2]);
    vector[N] sigma = exp(eta_sigma);
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, sigma);
  }
}
generated quantities {
  matrix[Q + Q_sigma, Q + Q_sigma] Omega;
  Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered_correlated(z, b, tau, L_u, centeredness, z_scale,
                                  tau_pilot, decorrelated);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_sigma, Q_sigma] b_sigma;
  {
    matrix[J, Q] u = b - rep_matrix(mu, J);
    matrix[J, Q] v = standardized(u, tau, L_u);
    b_sigma = correlated_with(v, z_sigma, tau_sigma, L_Omega);
  }
  b_sigma += rep_matrix(mu_sigma, J_sigma);
  matrix[J_sigma_2, Q_sigma_2] b_sigma_2;
  b_sigma_2 = diag_post_multiply(z_sigma_2, tau_sigma_2);
  b_sigma_2 += rep_matrix(mu_sigma_2, J_sigma_2);
}
