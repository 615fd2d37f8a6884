// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ von_mises(2 * atan(eta[n]), kappa)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
data {
  int<lower=1> N; // number of rows
  vector<lower=-pi(), upper=pi()>[N] y; // outcome: angles
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_kappa_shape;
  real<lower=0> prior_kappa_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // standardized deviations of b
  real<lower=0> kappa; // concentration: 0 where all directions are alike
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = z * diag_pre_multiply(tau, L_Omega)';
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  kappa ~ gamma(prior_kappa_shape, prior_kappa_rate);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y ~ von_mises(2 * atan(eta), kappa);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
}
