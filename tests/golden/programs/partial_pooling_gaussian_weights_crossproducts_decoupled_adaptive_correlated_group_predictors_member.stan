// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   the log likelihood of row n is multiplied by weights[n]
//   b[j] = mu + U[j] * (its effects, which are in beta) + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
// Given scales near their estimates, z_theta and z are almost independent a
// posteriori: see z_slopes.
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
  // log density of N outcomes, y[n] ~ normal(W[n] * theta, sigma), from the
  // products of columns of W: squares is the sum of squares of the residuals at
  // theta_hat, products are those of W with these residuals, and gram those of
  // two columns of W, which are doubled where row and column differ
  real normal_crossproducts_lpdf(vector products, real squares, real N,
                                 vector theta, real sigma, vector theta_hat,
                                 vector gram, array[] int row,
                                 array[] int column) {
    vector[size(theta)] d = theta - theta_hat;
    real sum_of_squares = squares - 2 * dot_product(products, d)
                          + dot_product(gram, d[row] .* d[column]);
    return -N * log(sigma) - 0.5 * sum_of_squares / square(sigma);
  }
}
data {
  real<lower=0> N_rows; // number of rows, or their weight
  real y_shift; // has been subtracted from the outcome
  int<lower=1> K_theta; // number of coefficients, those of groups as well
  vector[K_theta] theta_hat; // an estimate of them
  real<lower=0> squares; // sum of squares of the rows' residuals there
  vector[K_theta] products; // of each coefficient's column with the residuals
  // products of two columns that are not 0, doubled where the columns differ
  int<lower=0> nnz_gram;
  vector[nnz_gram] gram;
  array[nnz_gram] int<lower=1, upper=K_theta> gram_row;
  array[nnz_gram] int<lower=1, upper=K_theta> gram_column;
  int<lower=0> K; // number of population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  // the population's coefficients are theta_pilot + theta_root * z_theta: an
  // estimate, and a Cholesky factor of the covariance matrix of its errors
  vector[K + 1] theta_pilot;
  matrix[K + 1, K + 1] theta_root;
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  int<lower=1> P; // number of group-level predictors
  matrix[J, P] U; // group-level predictors, which are also in X
  // their effects on each coefficient, by their position in (0, alpha, beta)
  array[P, Q] int<lower=1, upper=K + 2> effect_index;
  // the mean that z is centered at, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> center_index;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  matrix[1, P] U_bar; // U at x_bar
  matrix[J * Q, K + 1] z_slopes; // z_slopes * z_theta is added to z
  vector<lower=0, upper=1>[J] decorrelated; // 1: z is uncorrelated
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> mean_index_2;
  // the mean that z_2 is centered at, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> center_index_2;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J_2, Q_2] centeredness_2;
  matrix<lower=0>[J_2, Q_2] z_scale_2; // gives z_2 a scale near 1
  vector<lower=0>[Q_2] tau_pilot_2; // estimate of tau_2
  matrix[J_2 * Q_2, K + 1] z_slopes_2; // z_slopes_2 * z_theta is added to z_2
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  vector[K + 1] z_theta; // standardized coefficients of the population
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // coefficients, partly centered
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] z_2; // coefficients, partly centered
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha_c = theta_pilot[1] + theta_root[1] * z_theta; // alpha at x_bar
  vector[K] beta = theta_pilot[2 : ] + theta_root[2 : ] * z_theta;
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[center_index]';
  mu_c -= effects_of_U(U_bar, effect_index, append_row([0, alpha]', beta))[1];
  row_vector[Q_2] mu_2 = append_row([0, alpha]', beta)[mean_index_2]'; // means
  row_vector[Q_2] mu_c_2 = append_row([0, alpha_c]', beta)[center_index_2]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  mean += effects_of_U(U, effect_index, append_row([0, alpha]', beta));
  matrix[J, Q] z_u = z + to_matrix(z_slopes * z_theta, J, Q);
  matrix[J, Q] u = partly_centered_correlated(z_u, mean, tau, L_Omega,
                                              centeredness, z_scale,
                                              tau_pilot, decorrelated);
  matrix[J_2, Q_2] mean_2 = rep_matrix(mu_c_2, J_2); // of b_2 at x_bar
  matrix[J_2, Q_2] z_u_2 = z_2 + to_matrix(z_slopes_2 * z_theta, J_2, Q_2);
  matrix[J_2, Q_2] u_2 = partly_centered(z_u_2, mean_2, tau_2,
                                         centeredness_2, z_scale_2,
                                         tau_pilot_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ exponential(prior_sigma_rate);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  target += sum(decorrelated) * sum(log(diagonal(L_Omega)));
  for (q in 1 : Q_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  // Jacobian of b_2 as a function of z_2
  target += ones_row_vector(J_2) * (1 - centeredness_2) * log(tau_2);
  if (prior_only == 0) {
    vector[K_theta] theta = append_row(append_row(alpha - y_shift, beta),
                                       append_row(to_vector(u),
                                                  to_vector(u_2)));
    products ~ normal_crossproducts(squares, N_rows, theta, sigma, theta_hat,
                                    gram, gram_row, gram_column);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += effects_of_U(U, effect_index, append_row([0, alpha]', beta));
  {
    matrix[J, Q] z_u = z + to_matrix(z_slopes * z_theta, J, Q);
    b += partly_centered_correlated(z_u, b, tau, L_Omega, centeredness,
                                    z_scale, tau_pilot, decorrelated);
  }
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_2, Q_2] b_2 = rep_matrix(mu_c_2, J_2);
  {
    matrix[J_2, Q_2] z_u_2 = z_2 + to_matrix(z_slopes_2 * z_theta, J_2, Q_2);
    b_2 += partly_centered(z_u_2, b_2, tau_2, centeredness_2, z_scale_2,
                           tau_pilot_2);
  }
  b_2 += rep_matrix(mu_2 - mu_c_2, J_2); // at X = 0
}
