// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ poisson(exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
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
  // coefficients with a regularized horseshoe prior, of standardized ones; a
  // slab bounds those that are large (Piironen and Vehtari 2017)
  vector horseshoe(vector z, vector local, real global, real slab,
                   vector global_scale, vector slab_scale) {
    vector[rows(z)] shrunk = square(global * global_scale .* local);
    vector[rows(z)] widest = slab * square(slab_scale);
    return z .* sqrt(shrunk .* widest ./ (shrunk + widest));
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
  // log mass of all rows, where
  //   y[n] ~ poisson(exp(eta[n]))
  //   eta[n] = alpha + X[n] * beta + sum over r of Z[n, r] * u[u_index[r, n]]
  real grouped_poisson_log_glm_lpmf(array[] int y, matrix X, real alpha,
                                    vector beta, matrix Z,
                                    array[,] int u_index, vector u) {
    int N = size(y);
    vector[N] eta = alpha + X * beta;
    for (r in 1 : cols(Z)) {
      eta += Z[ : , r] .* u[u_index[r]];
    }
    return poisson_log_lupmf(y | eta);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
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
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector<lower=0>[K] prior_beta_global_scale;
  vector<lower=0>[K] prior_beta_slab_df;
  vector<lower=0>[K] prior_beta_slab_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  array[Q, N] int u_index = u_positions(group, J, Q, 0);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta_z; // standardized coefficients
  vector<lower=0>[K] beta_local; // scale of each coefficient
  real<lower=0> beta_global; // scale of all coefficients
  real<lower=0> beta_slab; // bounds the variance of large ones
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // coefficients, partly centered
}
transformed parameters {
  vector[K] beta = horseshoe(beta_z, beta_local, beta_global, beta_slab,
                             prior_beta_global_scale, prior_beta_slab_scale);
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered_correlated(z, mean, tau, L_Omega,
                                              centeredness, z_scale,
                                              tau_pilot, decorrelated);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  beta_z ~ std_normal(); // implies the distribution of beta
  beta_local ~ cauchy(0, 1);
  beta_global ~ cauchy(0, 1);
  beta_slab ~ inv_gamma(0.5 * prior_beta_slab_df[1],
                        0.5 * prior_beta_slab_df[1]);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  target += sum(decorrelated) * sum(log(diagonal(L_Omega)));
  if (prior_only == 0) {
    y ~ grouped_poisson_log_glm(X_c, alpha_c, beta, Z, u_index, to_vector(u));
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered_correlated(z, b, tau, L_Omega, centeredness, z_scale,
                                  tau_pilot, decorrelated);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
