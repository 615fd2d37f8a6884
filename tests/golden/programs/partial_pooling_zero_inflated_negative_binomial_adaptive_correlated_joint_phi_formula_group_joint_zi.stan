// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] is 0 with probability zi[n], and else
//   neg_binomial_2(exp(eta[n]), phi[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   log(phi[n]) = alpha_phi + X_phi[n] * beta_phi
//            + Z_phi[n] * u_phi[group_phi[n]]
//   logit(zi[n]) = alpha_zi + X_zi[n] * beta_zi
//            + Z_zi[n] * u_zi[group_zi[n]]
//   b_phi[j] = mu_phi + u_phi[j]
//   b_zi[j] = mu_zi + u_zi[j]
//   b[j] = mu + u[j]
//   [u, u_phi, u_zi][j] ~ multi_normal(0,
//     D * Omega * D), where D = diag([tau, tau_phi, tau_zi])
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
  // the rows whose count is 0, or with is_zero = 0 the others
  array[] int rows_where_zero(array[] int y, int is_zero) {
    array[size(y)] int places;
    int found = 0;
    for (n in 1 : size(y)) {
      if ((y[n] == 0) == is_zero) {
        found += 1;
        places[found] = n;
      }
    }
    return places[1 : found];
  }
  // 0 with probability zi[n], else negative binomial with mean exp(eta[n])
  real zero_inflated_negative_binomial_log_lpmf(array[] int y, vector eta,
                                                vector phi, vector zi) {
    array[size(rows_where_zero(y, 1))] int zeros = rows_where_zero(y, 1);
    array[size(y) - size(zeros)] int others = rows_where_zero(y, 0);
    vector[size(zeros)] p = zi[zeros];
    vector[size(zeros)] k = phi[zeros];
    vector[size(zeros)] log_zero = -k .* log1p_exp(eta[zeros] - log(k));
    return sum(log(p + (1 - p) .* exp(log_zero))) + sum(log1m(zi[others]))
           + neg_binomial_2_log_lpmf(y[others] | eta[others], phi[others]);
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
  int<lower=0> K_phi; // number of population predictors
  matrix[N, K_phi] X_phi; // population predictors
  vector[K_phi] x_bar_phi; // where the prior on the intercept applies
  int<lower=1> J_phi; // number of groups
  int<lower=1> Q_phi; // number of varying coefficients
  array[N] int<lower=1, upper=J_phi> group_phi; // group of each row
  matrix[N, Q_phi] Z_phi; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_phi, beta_phi)
  array[Q_phi] int<lower=1, upper=K_phi + 2> mean_index_phi;
  int<lower=0> K_zi; // number of population predictors
  matrix[N, K_zi] X_zi; // population predictors
  vector[K_zi] x_bar_zi; // where the prior on the intercept applies
  int<lower=1> J_zi; // number of groups
  int<lower=1> Q_zi; // number of varying coefficients
  array[N] int<lower=1, upper=J_zi> group_zi; // group of each row
  matrix[N, Q_zi] Z_zi; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_zi, beta_zi)
  array[Q_zi] int<lower=1, upper=K_zi + 2> mean_index_zi;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  real prior_Intercept_phi_location;
  real<lower=0> prior_Intercept_phi_scale;
  vector[K_phi] prior_beta_phi_location;
  vector<lower=0>[K_phi] prior_beta_phi_scale;
  vector<lower=0>[Q_phi] prior_tau_phi_rate;
  real prior_Intercept_zi_location;
  real<lower=0> prior_Intercept_zi_scale;
  vector[K_zi] prior_beta_zi_location;
  vector<lower=0>[K_zi] prior_beta_zi_scale;
  vector<lower=0>[Q_zi] prior_tau_zi_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_phi] X_c_phi = X_phi - rep_matrix(x_bar_phi', N);
  matrix[N, K_zi] X_c_zi = X_zi - rep_matrix(x_bar_zi', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q + Q_phi + Q_zi] L_Omega;
  matrix[J, Q] z; // coefficients, partly centered
  real alpha_c_phi; // alpha_phi at x_bar_phi
  vector[K_phi] beta_phi;
  vector<lower=0>[Q_phi] tau_phi; // population scales
  matrix[J_phi, Q_phi] z_phi; // standardized deviations
  real alpha_c_zi; // alpha_zi at x_bar_zi
  vector[K_zi] beta_zi;
  vector<lower=0>[Q_zi] tau_zi; // population scales
  matrix[J_zi, Q_zi] z_zi; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  matrix[Q, Q] L_u = block(L_Omega, 1, 1, Q, Q);
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  real alpha_phi = alpha_c_phi - dot_product(x_bar_phi, beta_phi);
  row_vector[Q_phi] mu_phi;
  mu_phi = append_row([0, alpha_phi]', beta_phi)[mean_index_phi]';
  real alpha_zi = alpha_c_zi - dot_product(x_bar_zi, beta_zi);
  row_vector[Q_zi] mu_zi;
  mu_zi = append_row([0, alpha_zi]', beta_zi)[mean_index_zi]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered_correlated(z, mean, tau, L_u,
                                              centeredness, z_scale,
                                              tau_pilot, decorrelated);
  // deviations of groups from their means
  matrix[J, Q] v = standardized(u, tau, L_u);
  matrix[J_phi, Q_phi] u_phi;
  u_phi = correlated_with(v, z_phi, tau_phi, L_Omega);
  matrix[J_zi, Q_zi] u_zi;
  u_zi = correlated_with(append_col(v, z_phi), z_zi, tau_zi, L_Omega);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  alpha_c_phi ~ normal(prior_Intercept_phi_location,
                       prior_Intercept_phi_scale);
  beta_phi ~ normal(prior_beta_phi_location, prior_beta_phi_scale);
  tau_phi ~ exponential(prior_tau_phi_rate);
  alpha_c_zi ~ normal(prior_Intercept_zi_location, prior_Intercept_zi_scale);
  beta_zi ~ normal(prior_beta_zi_location, prior_beta_zi_scale);
  tau_zi ~ exponential(prior_tau_zi_rate);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_u));
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  target += sum(decorrelated) * sum(log(diagonal(L_u)));
  to_vector(z_phi) ~ std_normal(); // implies the distribution of u_phi
  to_vector(z_zi) ~ std_normal(); // implies the distribution of u_zi
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta_phi = alpha_c_phi + X_c_phi * beta_phi;
    eta_phi += rows_dot_product(Z_phi, u_phi[group_phi]);
    vector[N] eta_zi = alpha_c_zi + X_c_zi * beta_zi;
    eta_zi += rows_dot_product(Z_zi, u_zi[group_zi]);
    vector[N] phi = exp(eta_phi);
    vector[N] zi = inv_logit(eta_zi);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    // from 1e8 on, counts are Poisson and lgamma() has no digits to spare
    vector[N] precision = fmin(phi, 1e8);
    y ~ zero_inflated_negative_binomial_log(eta, precision, zi);
  }
}
generated quantities {
  matrix[Q + Q_phi + Q_zi, Q + Q_phi + Q_zi] Omega;
  Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered_correlated(z, b, tau, L_u, centeredness, z_scale,
                                  tau_pilot, decorrelated);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_phi, Q_phi] b_phi;
  {
    matrix[J, Q] u = b - rep_matrix(mu, J);
    matrix[J, Q] v = standardized(u, tau, L_u);
    b_phi = correlated_with(v, z_phi, tau_phi, L_Omega);
  }
  b_phi += rep_matrix(mu_phi, J_phi);
  matrix[J_zi, Q_zi] b_zi;
  {
    matrix[J, Q] u = b - rep_matrix(mu, J);
    matrix[J, Q] v = standardized(u, tau, L_u);
    matrix[J, Q + Q_phi] before = append_col(v, z_phi);
    b_zi = correlated_with(before, z_zi, tau_zi, L_Omega);
  }
  b_zi += rep_matrix(mu_zi, J_zi);
}
