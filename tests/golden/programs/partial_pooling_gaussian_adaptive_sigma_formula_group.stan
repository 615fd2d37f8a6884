// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//            + Z_sigma[n] * u_sigma[group_sigma[n]]
//   b_sigma[j] = mu_sigma + u_sigma[j]
//   u_sigma = root_sigma * diag(s) * v_sigma, where
//     s^2 = 1 - rho_u_sigma + rho_u_sigma * spectrum_sigma
//   v_sigma[j, q] ~ normal(0, tau_sigma[q])
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
  // deviations of regions with the covariance rho * C + (1 - rho) * I, of
  // independent deviations v; root has the eigenvectors of C, and spectrum its
  // eigenvalues
  matrix bym2(matrix v, matrix root, vector spectrum, real rho) {
    return root * diag_pre_multiply(sqrt(1 - rho + rho * spectrum), v);
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
  int<lower=1> R_sigma; // number of columns of root_sigma
  matrix[J_sigma, R_sigma] root_sigma; // eigenvectors of neighbours
  vector<lower=0>[R_sigma] spectrum_sigma; // their eigenvalues
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_sigma] prior_beta_sigma_scale;
  vector<lower=0>[Q_sigma] prior_tau_sigma_rate;
  real<lower=0> prior_rho_u_sigma_a;
  real<lower=0> prior_rho_u_sigma_b;
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
  matrix[J, Q] z; // coefficients, partly centered
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_sigma] beta_sigma;
  vector<lower=0>[Q_sigma] tau_sigma; // population scales
  real<lower=0, upper=1> rho_u_sigma; // dependence of neighbours
  matrix[R_sigma, Q_sigma] z_sigma; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
  row_vector[Q_sigma] mu_sigma;
  mu_sigma = append_row([0, alpha_sigma]', beta_sigma)[mean_index_sigma]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  // deviations of groups from their means
  matrix[J_sigma, Q_sigma] u_sigma;
  u_sigma = bym2(diag_post_multiply(z_sigma, tau_sigma), root_sigma,
                 spectrum_sigma, rho_u_sigma);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  rho_u_sigma ~ beta(prior_rho_u_sigma_a, prior_rho_u_sigma_b);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
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
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_sigma, Q_sigma] b_sigma;
  b_sigma = bym2(diag_post_multiply(z_sigma, tau_sigma), root_sigma,
                 spectrum_sigma, rho_u_sigma);
  b_sigma += rep_matrix(mu_sigma, J_sigma);
}
