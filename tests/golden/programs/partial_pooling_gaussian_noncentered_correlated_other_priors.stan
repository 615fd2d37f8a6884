// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // log density of scales whose squares are inv_gamma(shape, scale)
  real sqrt_inv_gamma_lpdf(real x, real shape, real scale) {
    return inv_gamma_lpdf(square(x) | shape, scale) + log(2 * x);
  }
  real sqrt_inv_gamma_lpdf(vector x, vector shape, vector scale) {
    return inv_gamma_lpdf(square(x) | shape, scale) + sum(log(2 * x));
  }
  real sqrt_inv_gamma_lpdf(vector x, real shape, real scale) {
    return inv_gamma_lpdf(square(x) | shape, scale) + sum(log(2 * x));
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
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  real lower_Intercept; // bounds
  real upper_Intercept;
  vector[K] lower_beta; // bounds
  vector[K] upper_beta;
  vector[Q] lower_tau; // bounds
  vector[Q] upper_tau;
  int<lower=1> n_tau_cauchy;
  array[n_tau_cauchy] int<lower=1, upper=Q> at_tau_cauchy;
  vector[n_tau_cauchy] prior_tau_cauchy_location;
  vector<lower=0>[n_tau_cauchy] prior_tau_cauchy_scale;
  int<lower=1> n_tau_sqrt_inv_gamma;
  array[n_tau_sqrt_inv_gamma] int<lower=1, upper=Q> at_tau_sqrt_inv_gamma;
  vector<lower=0>[n_tau_sqrt_inv_gamma] prior_tau_sqrt_inv_gamma_shape;
  vector<lower=0>[n_tau_sqrt_inv_gamma] prior_tau_sqrt_inv_gamma_scale;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_shape;
  real<lower=0> prior_sigma_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  array[Q, N] int u_index = u_positions(group, J, Q, 0);
}
parameters {
  real<lower=lower_Intercept, upper=upper_Intercept> alpha_c; // alpha at x_bar
  vector<lower=lower_beta, upper=upper_beta>[K] beta;
  vector<lower=lower_tau, upper=upper_tau>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // standardized deviations of b
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = z * diag_pre_multiply(tau, L_Omega)';
  tau[at_tau_cauchy] ~ cauchy(prior_tau_cauchy_location,
                              prior_tau_cauchy_scale);
  tau[at_tau_sqrt_inv_gamma] ~ sqrt_inv_gamma(prior_tau_sqrt_inv_gamma_shape,
                                              prior_tau_sqrt_inv_gamma_scale);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ sqrt_inv_gamma(prior_sigma_shape, prior_sigma_scale);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  if (prior_only == 0) {
    y ~ grouped_gaussian_identity_glm(sigma, X_c, alpha_c, beta, Z, u_index,
                                      to_vector(u));
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
}
