// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma_j[group_sigma[n]])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + Z_2[n] * u_2[group_2[n]]
//   sigma_j[j] ~ lognormal(log(sigma), tau_sigma)
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
data {
  int<lower=1> N; // number of rows, after reduction by QR decompositions
  vector[N] y; // outcome
  int<lower=1> J_sigma; // number of groups with their own residual scale
  array[N] int<lower=1, upper=J_sigma> group_sigma; // that of each row
  real y_shift; // has been subtracted from y
  vector[J_sigma] N_zero_rows; // number of rows that became 0
  int<lower=0> K; // number of population predictors
  int<lower=0> K_X; // columns of X: intercept, predictors
  matrix[N, K_X] X; // population predictors, reduced
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  array[N] int<lower=1, upper=J_2> group_2; // group of each row
  matrix[N, Q_2] Z_2; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> mean_index_2;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_sigma_rate;
  real<lower=0> prior_tau_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // standardized deviations of b
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] z_2; // standardized deviations of b_2
  real<lower=0> sigma; // residual scale
  real<lower=0> tau_sigma; // standard deviation of log(sigma_j)
  vector[J_sigma] z_sigma; // standardized deviations of log(sigma_j)
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q_2] mu_2 = append_row([0, alpha]', beta)[mean_index_2]'; // means
  vector<lower=0>[J_sigma] sigma_j = sigma * exp(tau_sigma * z_sigma);
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = diag_post_multiply(z, tau);
  matrix[J_2, Q_2] u_2 = diag_post_multiply(z_2, tau_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  sigma ~ exponential(prior_sigma_rate);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  to_vector(z_2) ~ std_normal(); // implies the distribution of u_2
  z_sigma ~ std_normal(); // implies the distribution of sigma_j
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    group_effect += rows_dot_product(Z_2, u_2[group_2]);
    vector[K_X] theta = append_row(alpha_c - y_shift, beta);
    vector[N] scale = sigma_j[group_sigma];
    y ~ normal_id_glm(X, group_effect, theta, scale);
    target += -dot_product(N_zero_rows, log(sigma_j));
  }
}
generated quantities {
  matrix[J, Q] b = diag_post_multiply(z, tau);
  b += rep_matrix(mu, J);
  matrix[J_2, Q_2] b_2 = diag_post_multiply(z_2, tau_2);
  b_2 += rep_matrix(mu_2, J_2);
}
