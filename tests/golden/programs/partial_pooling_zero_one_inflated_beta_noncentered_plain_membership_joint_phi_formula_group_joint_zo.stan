// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] is 0 or 1 with probability zoi[n], and then 1 with
//   probability coi[n]; else
//   beta(phi[n] * mu[n], phi[n] * (1 - mu[n]))
//   mu[n] = inv_logit(eta[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   log(phi[n]) = alpha_phi + X_phi[n] * beta_phi
//            + Z_phi[n] * u_phi[group_phi[n]]
//   logit(zoi[n]) = alpha_zoi + X_zoi[n] * beta_zoi
//            + Z_zoi[n] * u_zoi[group_zoi[n]]
//   logit(coi[n]) = alpha_coi + X_coi[n] * beta_coi
//            + sum over m of weight_coi[n, m]
//              * Z_coi[n] * u_coi[group_coi[n, m]]
//   b_phi[j] = mu_phi + u_phi[j]
//   [u_phi, u_zoi][j] ~ multi_normal(0,
//     D * Omega_phi * D), where D = diag([tau_phi, tau_zoi])
//   b_zoi[j] = mu_zoi + u_zoi[j]
//   b_coi[j] = mu_coi + u_coi[j]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   [u_2, u_coi][j] ~ multi_normal(0,
//     D * Omega_2 * D), where D = diag([tau_2, tau_coi])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // deviations of groups with the scales tau, correlated with others of these
  // groups, of which v are the standardized ones
  matrix correlated_with(matrix v, matrix z, vector tau, matrix L_Omega) {
    int D = cols(v);
    int Q = cols(z);
    return append_col(v, z)
           * diag_pre_multiply(tau, block(L_Omega, D + 1, 1, Q, D + Q))';
  }
  // the rows whose outcome is 0 or 1, or with are_ends = 0 the others
  array[] int rows_at_ends(data vector y, int are_ends) {
    array[size(y)] int places;
    int found = 0;
    for (n in 1 : size(y)) {
      if ((y[n] == 0 || y[n] == 1) == are_ends) {
        found += 1;
        places[found] = n;
      }
    }
    return places[1 : found];
  }
  // 0 or 1 with probability zoi[n], and then 1 with probability coi[n]; else
  // beta with mean inv_logit(eta[n]) and precision phi[n]
  real zero_one_inflated_beta_logit_lpdf(data vector y, vector eta, vector phi,
                                         vector zoi, vector coi) {
    array[size(rows_at_ends(y, 1))] int ends = rows_at_ends(y, 1);
    array[size(y) - size(ends)] int inside = rows_at_ends(y, 0);
    vector[size(inside)] a = phi[inside] .* inv_logit(eta[inside]);
    vector[size(inside)] b = phi[inside] .* inv_logit(-eta[inside]);
    return sum(log(zoi[ends])) + sum(log1m(zoi[inside]))
           + dot_product(y[ends], log(coi[ends]))
           + dot_product(1 - y[ends], log1m(coi[ends]))
           + beta_lpdf(y[inside] | a, b);
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0, upper=1>[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  int<lower=1> M_2; // number of memberships of each row
  // groups of each row
  array[N, M_2] int<lower=1, upper=J_2> group_2;
  matrix<lower=0>[N, M_2] weight_2; // weights of the memberships
  matrix[N, Q_2] Z_2; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> mean_index_2;
  int<lower=0> K_phi; // number of population predictors
  matrix[N, K_phi] X_phi; // population predictors
  vector[K_phi] x_bar_phi; // where the prior on the intercept applies
  int<lower=1> J_phi; // number of groups
  int<lower=1> Q_phi; // number of varying coefficients
  array[N] int<lower=1, upper=J_phi> group_phi; // group of each row
  matrix[N, Q_phi] Z_phi; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_phi, beta_phi)
  array[Q_phi] int<lower=1, upper=K_phi + 2> mean_index_phi;
  int<lower=0> K_zoi; // number of population predictors
  matrix[N, K_zoi] X_zoi; // population predictors
  vector[K_zoi] x_bar_zoi; // where the prior on the intercept applies
  int<lower=1> J_zoi; // number of groups
  int<lower=1> Q_zoi; // number of varying coefficients
  array[N] int<lower=1, upper=J_zoi> group_zoi; // group of each row
  matrix[N, Q_zoi] Z_zoi; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_zoi, beta_zoi)
  array[Q_zoi] int<lower=1, upper=K_zoi + 2> mean_index_zoi;
  int<lower=0> K_coi; // number of population predictors
  matrix[N, K_coi] X_coi; // population predictors
  vector[K_coi] x_bar_coi; // where the prior on the intercept applies
  int<lower=1> J_coi; // number of groups
  int<lower=1> Q_coi; // number of varying coefficients
  int<lower=1> M_coi; // number of memberships of each row
  // groups of each row
  array[N, M_coi] int<lower=1, upper=J_coi> group_coi;
  matrix<lower=0>[N, M_coi] weight_coi; // weights of the memberships
  matrix[N, Q_coi] Z_coi; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_coi, beta_coi)
  array[Q_coi] int<lower=1, upper=K_coi + 2> mean_index_coi;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_Omega_2_shape;
  real prior_Intercept_phi_location;
  real<lower=0> prior_Intercept_phi_scale;
  vector[K_phi] prior_beta_phi_location;
  vector<lower=0>[K_phi] prior_beta_phi_scale;
  vector<lower=0>[Q_phi] prior_tau_phi_rate;
  real<lower=0> prior_Omega_phi_shape;
  real prior_Intercept_zoi_location;
  real<lower=0> prior_Intercept_zoi_scale;
  vector[K_zoi] prior_beta_zoi_location;
  vector<lower=0>[K_zoi] prior_beta_zoi_scale;
  vector<lower=0>[Q_zoi] prior_tau_zoi_rate;
  real prior_Intercept_coi_location;
  real<lower=0> prior_Intercept_coi_scale;
  vector[K_coi] prior_beta_coi_location;
  vector<lower=0>[K_coi] prior_beta_coi_scale;
  vector<lower=0>[Q_coi] prior_tau_coi_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_phi] X_c_phi = X_phi - rep_matrix(x_bar_phi', N);
  matrix[N, K_zoi] X_c_zoi = X_zoi - rep_matrix(x_bar_zoi', N);
  matrix[N, K_coi] X_c_coi = X_coi - rep_matrix(x_bar_coi', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // standardized deviations of b
  vector<lower=0>[Q_2] tau_2; // population scales
  cholesky_factor_corr[Q_2 + Q_coi] L_Omega_2;
  matrix[J_2, Q_2] z_2; // standardized deviations of b_2
  real alpha_c_phi; // alpha_phi at x_bar_phi
  vector[K_phi] beta_phi;
  vector<lower=0>[Q_phi] tau_phi; // population scales
  cholesky_factor_corr[Q_phi + Q_zoi] L_Omega_phi;
  matrix[J_phi, Q_phi] z_phi; // standardized deviations
  real alpha_c_zoi; // alpha_zoi at x_bar_zoi
  vector[K_zoi] beta_zoi;
  vector<lower=0>[Q_zoi] tau_zoi; // population scales
  matrix[J_zoi, Q_zoi] z_zoi; // standardized deviations
  real alpha_c_coi; // alpha_coi at x_bar_coi
  vector[K_coi] beta_coi;
  vector<lower=0>[Q_coi] tau_coi; // population scales
  matrix[J_coi, Q_coi] z_coi; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q_2] mu_2 = append_row([0, alpha]', beta)[mean_index_2]'; // means
  real alpha_phi = alpha_c_phi - dot_product(x_bar_phi, beta_phi);
  row_vector[Q_phi] mu_phi;
  mu_phi = append_row([0, alpha_phi]', beta_phi)[mean_index_phi]';
  real alpha_zoi = alpha_c_zoi - dot_product(x_bar_zoi, beta_zoi);
  row_vector[Q_zoi] mu_zoi;
  mu_zoi = append_row([0, alpha_zoi]', beta_zoi)[mean_index_zoi]';
  real alpha_coi = alpha_c_coi - dot_product(x_bar_coi, beta_coi);
  row_vector[Q_coi] mu_coi;
  mu_coi = append_row([0, alpha_coi]', beta_coi)[mean_index_coi]';
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = diag_post_multiply(z, tau);
  matrix[J_2, Q_2] u_2 = diag_post_multiply(z_2, tau_2);
  matrix[J_phi, Q_phi] u_phi;
  u_phi = diag_post_multiply(z_phi, tau_phi);
  matrix[J_zoi, Q_zoi] u_zoi;
  u_zoi = correlated_with(z_phi, z_zoi, tau_zoi, L_Omega_phi);
  matrix[J_coi, Q_coi] u_coi;
  u_coi = correlated_with(z_2, z_coi, tau_coi, L_Omega_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  L_Omega_2 ~ lkj_corr_cholesky(prior_Omega_2_shape);
  alpha_c_phi ~ normal(prior_Intercept_phi_location,
                       prior_Intercept_phi_scale);
  beta_phi ~ normal(prior_beta_phi_location, prior_beta_phi_scale);
  tau_phi ~ exponential(prior_tau_phi_rate);
  L_Omega_phi ~ lkj_corr_cholesky(prior_Omega_phi_shape);
  alpha_c_zoi ~ normal(prior_Intercept_zoi_location,
                       prior_Intercept_zoi_scale);
  beta_zoi ~ normal(prior_beta_zoi_location, prior_beta_zoi_scale);
  tau_zoi ~ exponential(prior_tau_zoi_rate);
  alpha_c_coi ~ normal(prior_Intercept_coi_location,
                       prior_Intercept_coi_scale);
  beta_coi ~ normal(prior_beta_coi_location, prior_beta_coi_scale);
  tau_coi ~ exponential(prior_tau_coi_rate);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  to_vector(z_2) ~ std_normal(); // implies the distribution of u_2
  to_vector(z_phi) ~ std_normal(); // implies the distribution of u_phi
  to_vector(z_zoi) ~ std_normal(); // implies the distribution of u_zoi
  to_vector(z_coi) ~ std_normal(); // implies the distribution of u_coi
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    for (m in 1 : M_2) {
      vector[N] effect = rows_dot_product(Z_2, u_2[group_2[ : , m]]);
      group_effect += weight_2[ : , m] .* effect;
    }
    vector[N] eta_phi = alpha_c_phi + X_c_phi * beta_phi;
    eta_phi += rows_dot_product(Z_phi, u_phi[group_phi]);
    vector[N] eta_zoi = alpha_c_zoi + X_c_zoi * beta_zoi;
    eta_zoi += rows_dot_product(Z_zoi, u_zoi[group_zoi]);
    vector[N] eta_coi = alpha_c_coi + X_c_coi * beta_coi;
    for (m in 1 : M_coi) {
      vector[N] effect = rows_dot_product(Z_coi, u_coi[group_coi[ : , m]]);
      eta_coi += weight_coi[ : , m] .* effect;
    }
    vector[N] phi = exp(eta_phi);
    vector[N] zoi = inv_logit(eta_zoi);
    vector[N] coi = inv_logit(eta_coi);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y ~ zero_one_inflated_beta_logit(eta, phi, zoi, coi);
  }
}
generated quantities {
  matrix[J, Q] b = diag_post_multiply(z, tau);
  b += rep_matrix(mu, J);
  matrix[Q_2 + Q_coi, Q_2 + Q_coi] Omega_2;
  Omega_2 = multiply_lower_tri_self_transpose(L_Omega_2);
  matrix[J_2, Q_2] b_2 = diag_post_multiply(z_2, tau_2);
  b_2 += rep_matrix(mu_2, J_2);
  matrix[Q_phi + Q_zoi, Q_phi + Q_zoi] Omega_phi;
  Omega_phi = multiply_lower_tri_self_transpose(L_Omega_phi);
  matrix[J_phi, Q_phi] b_phi;
  b_phi = diag_post_multiply(z_phi, tau_phi);
  b_phi += rep_matrix(mu_phi, J_phi);
  matrix[J_zoi, Q_zoi] b_zoi;
  b_zoi = correlated_with(z_phi, z_zoi, tau_zoi, L_Omega_phi);
  b_zoi += rep_matrix(mu_zoi, J_zoi);
  matrix[J_coi, Q_coi] b_coi;
  b_coi = correlated_with(z_2, z_coi, tau_coi, L_Omega_2);
  b_coi += rep_matrix(mu_coi, J_coi);
}
