// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//            + Z_sigma[n] * u_sigma[group_sigma[n]]
//   b_sigma[j] = mu_sigma + u_sigma[j]
//   b[j] = mu + U[j] * (its effects, which are in beta) + u[j]
//   [u, u_sigma][j] ~ multi_normal(0,
//     D * Omega * D), where D = diag([tau, tau_sigma])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // the effects of group-level predictors U on the means of the groups'
  // coefficients; effect_index says where each effect is in (0, alpha, beta)
  matrix effects_of_U(matrix U, array[,] int effect_index, vector population) {
    int Q = size(effect_index[1]);
    matrix[rows(U), Q] effects = rep_matrix(0, rows(U), Q);
    for (p in 1 : cols(U)) {
      effects += U[ : , p] * population[effect_index[p]]';
    }
    return effects;
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
  int<lower=1> P; // number of group-level predictors
  matrix[J, P] U; // group-level predictors, which are also in X
  // their effects on each coefficient, by their position in (0, alpha, beta)
  array[P, Q] int<lower=1, upper=K + 2> effect_index;
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
  matrix[J, Q] b;
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_sigma] beta_sigma;
  vector<lower=0>[Q_sigma] tau_sigma; // population scales
  matrix[J_sigma, Q_sigma] z_sigma; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  matrix[Q, Q] L_u = block(L_Omega, 1, 1, Q, Q);
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
  row_vector[Q_sigma] mu_sigma;
  mu_sigma = append_row([0, alpha_sigma]', beta_sigma)[mean_index_sigma]';
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = b - rep_matrix(mu, J);
  u -= effects_of_U(U, effect_index, append_row([0, alpha]', beta));
  // deviations of groups from their means
  matrix[J, Q] v = standardized(u, tau, L_u);
  matrix[J_sigma, Q_sigma] u_sigma;
  u_sigma = correlated_with(v, z_sigma, tau_sigma, L_Omega);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  to_vector(z_sigma) ~ std_normal(); // implies the distribution of u_sigma
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    eta_sigma += rows_dot_product(Z_sigma, u_sigma[group_sigma]);
    vector[N] sigma = exp(eta_sigma);
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, sigma);
  }
}
generated quantities {
  matrix[Q + Q_sigma, Q + Q_sigma] Omega;
  Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J_sigma, Q_sigma] b_sigma;
  {
    matrix[J, Q] u = b - rep_matrix(mu, J);
    u -= effects_of_U(U, effect_index, append_row([0, alpha]', beta));
    matrix[J, Q] v = standardized(u, tau, L_u);
    b_sigma = correlated_with(v, z_sigma, tau_sigma, L_Omega);
  }
  b_sigma += rep_matrix(mu_sigma, J_sigma);
}
