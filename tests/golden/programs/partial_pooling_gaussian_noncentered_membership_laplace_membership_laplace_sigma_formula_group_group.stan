// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//            + sum over m of weight[n, m] * Z[n] * u[group[n, m]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//            + sum over m of weight_sigma[n, m]
//              * Z_sigma[n] * u_sigma[group_sigma[n, m]]
//            + sum over m of weight_sigma_2[n, m]
//              * Z_sigma_2[n] * u_sigma_2[group_sigma_2[n, m]]
//   b_sigma[j] = mu_sigma + u_sigma[j]
//   u_sigma[j, q] ~ normal(0, tau_sigma[q])
//   b_sigma_2[j] = mu_sigma_2 + u_sigma_2[j]
//   u_sigma_2[j, q] ~ normal(0, tau_sigma_2[q])
//   b[j] = mu + u[j]
//   u[j, q] ~ double_exponential(0, tau[q] / sqrt(2))
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ double_exponential(0, tau_2[q] / sqrt(2))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
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
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  int<lower=1> M_2; // number of memberships of each row
  // groups of each row
  array[N, M_2] int<lower=1, upper=J_2> group_2;
  matrix<lower=0>[N, M_2] weight_2; // weights of the memberships
  matrix[N, Q_2] Z_2; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> mean_index_2;
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  int<lower=1> J_sigma; // number of groups
  int<lower=1> Q_sigma; // number of varying coefficients
  int<lower=1> M_sigma; // number of memberships of each row
  // groups of each row
  array[N, M_sigma] int<lower=1, upper=J_sigma> group_sigma;
  matrix<lower=0>[N, M_sigma] weight_sigma; // weights of the memberships
  matrix[N, Q_sigma] Z_sigma; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_sigma, beta_sigma)
  array[Q_sigma] int<lower=1, upper=K_sigma + 2> mean_index_sigma;
  int<lower=1> J_sigma_2; // number of groups
  int<lower=1> Q_sigma_2; // number of varying coefficients
  int<lower=1> M_sigma_2; // number of memberships of each row
  // groups of each row
  array[N, M_sigma_2] int<lower=1, upper=J_sigma_2> group_sigma_2;
  matrix<lower=0>[N, M_sigma_2] weight_sigma_2; // weights of the memberships
  matrix[N, Q_sigma_2] Z_sigma_2; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_sigma, beta_sigma)
  array[Q_sigma_2] int<lower=1, upper=K_sigma + 2> mean_index_sigma_2;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
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
  matrix[J, Q] z; // standardized deviations of b
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] z_2; // standardized deviations of b_2
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
  row_vector[Q_2] mu_2 = append_row([0, alpha]', beta)[mean_index_2]'; // means
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
  row_vector[Q_sigma] mu_sigma;
  mu_sigma = append_row([0, alpha_sigma]', beta_sigma)[mean_index_sigma]';
  row_vector[Q_sigma_2] mu_sigma_2;
  mu_sigma_2 = append_row([0, alpha_sigma]', beta_sigma)[mean_index_sigma_2]';
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = diag_post_multiply(z, tau);
  matrix[J_2, Q_2] u_2 = diag_post_multiply(z_2, tau_2);
  matrix[J_sigma, Q_sigma] u_sigma;
  u_sigma = diag_post_multiply(z_sigma, tau_sigma);
  matrix[J_sigma_2, Q_sigma_2] u_sigma_2;
  u_sigma_2 = diag_post_multiply(z_sigma_2, tau_sigma_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  tau_sigma_2 ~ exponential(prior_tau_sigma_2_rate);
  // of variance 1; implies the distribution of u
  to_vector(z) ~ double_exponential(0, inv_sqrt(2));
  // of variance 1; implies the distribution of u_2
  to_vector(z_2) ~ double_exponential(0, inv_sqrt(2));
  to_vector(z_sigma) ~ std_normal(); // implies the distribution of u_sigma
  to_vector(z_sigma_2) ~ std_normal(); // implies the distribution of u_sigma_2
  if (prior_only == 0) {
    vector[N] group_effect = rep_vector(0, N);
    for (m in 1 : M) {
      vector[N] effect = rows_dot_product(Z, u[group[ : , m]]);
      group_effect += weight[ : , m] .* effect;
    }
    for (m in 1 : M_2) {
      vector[N] effect = rows_dot_product(Z_2, u_2[group_2[ : , m]]);
      group_effect += weight_2[ : , m] .* effect;
    }
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    for (m in 1 : M_sigma) {
      vector[N] effect = rows_dot_product(Z_sigma,
                                          u_sigma[group_sigma[ : , m]]);
      eta_sigma += weight_sigma[ : , m] .* effect;
    }
    for (m in 1 : M_sigma_2) {
      vector[N] effect = rows_dot_product(Z_sigma_2,
                                          u_sigma_2[group_sigma_2[ : , m]]);
      eta_sigma += weight_sigma_2[ : , m] .* effect;
    }
    vector[N] sigma = exp(eta_sigma);
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, sigma);
  }
}
generated quantities {
  matrix[J, Q] b = diag_post_multiply(z, tau);
  b += rep_matrix(mu, J);
  matrix[J_2, Q_2] b_2 = diag_post_multiply(z_2, tau_2);
  b_2 += rep_matrix(mu_2, J_2);
  matrix[J_sigma, Q_sigma] b_sigma;
  b_sigma = diag_post_multiply(z_sigma, tau_sigma);
  b_sigma += rep_matrix(mu_sigma, J_sigma);
  matrix[J_sigma_2, Q_sigma_2] b_sigma_2;
  b_sigma_2 = diag_post_multiply(z_sigma_2, tau_sigma_2);
  b_sigma_2 += rep_matrix(mu_sigma_2, J_sigma_2);
}
