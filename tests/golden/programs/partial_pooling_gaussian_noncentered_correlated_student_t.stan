// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_student_t(nu_u, 0,
//     diag(tau) * Omega * diag(tau))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // log density of the rows of z, each multivariate Student-t about 0 with the
  // identity as its scale matrix, up to a constant
  real spherical_student_t_lpdf(matrix z, real nu) {
    real half = 0.5 * (nu + cols(z));
    real norm = lgamma(half) - lgamma(0.5 * nu) - 0.5 * cols(z) * log(nu);
    return rows(z) * norm - half * sum(log1p(rows_dot_self(z) / nu));
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
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_nu_u_shape;
  real<lower=0> prior_nu_u_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  array[Q, N] int u_index = u_positions(group, J, Q, 0);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  real<lower=1> nu_u; // degrees of freedom of the population
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
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  nu_u ~ gamma(prior_nu_u_shape, prior_nu_u_rate);
  sigma ~ exponential(prior_sigma_rate);
  // implies the distribution of u
  z ~ spherical_student_t(nu_u);
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
