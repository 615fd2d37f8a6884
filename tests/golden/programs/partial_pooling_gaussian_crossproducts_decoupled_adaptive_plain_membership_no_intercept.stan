// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
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
  // the population's coefficients are theta_pilot + theta_root * z_theta: an
  // estimate, and a Cholesky factor of the covariance matrix of its errors
  vector[K] theta_pilot;
  matrix[K, K] theta_root;
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  // the mean of each coefficient, by its position in (0, beta)
  array[Q] int<lower=1, upper=K + 1> mean_index;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  matrix[J * Q, K] z_slopes; // z_slopes * z_theta is added to z
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  // the mean of each coefficient, by its position in (0, beta)
  array[Q_2] int<lower=1, upper=K + 1> mean_index_2;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J_2, Q_2] centeredness_2;
  matrix<lower=0>[J_2, Q_2] z_scale_2; // gives z_2 a scale near 1
  vector<lower=0>[Q_2] tau_pilot_2; // estimate of tau_2
  matrix[J_2 * Q_2, K] z_slopes_2; // z_slopes_2 * z_theta is added to z_2
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  vector[K] z_theta; // standardized coefficients of the population
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] z_2; // coefficients, partly centered
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[K] beta = theta_pilot + theta_root * z_theta;
  row_vector[Q] mu = append_row(0, beta)[mean_index]'; // means
  row_vector[Q_2] mu_2 = append_row(0, beta)[mean_index_2]'; // means
}
model {
  matrix[J, Q] mean = rep_matrix(mu, J); // of b
  matrix[J, Q] z_u = z + to_matrix(z_slopes * z_theta, J, Q);
  matrix[J, Q] u = partly_centered(z_u, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  matrix[J_2, Q_2] mean_2 = rep_matrix(mu_2, J_2); // of b_2
  matrix[J_2, Q_2] z_u_2 = z_2 + to_matrix(z_slopes_2 * z_theta, J_2, Q_2);
  matrix[J_2, Q_2] u_2 = partly_centered(z_u_2, mean_2, tau_2,
                                         centeredness_2, z_scale_2,
                                         tau_pilot_2);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  sigma ~ exponential(prior_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  for (q in 1 : Q_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  // Jacobian of b_2 as a function of z_2
  target += ones_row_vector(J_2) * (1 - centeredness_2) * log(tau_2);
  if (prior_only == 0) {
    vector[K_theta] theta = append_row(beta,
                                       append_row(to_vector(u),
                                                  to_vector(u_2)));
    products ~ normal_crossproducts(squares, N_rows, theta, sigma, theta_hat,
                                    gram, gram_row, gram_column);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu, J);
  {
    matrix[J, Q] z_u = z + to_matrix(z_slopes * z_theta, J, Q);
    b += partly_centered(z_u, b, tau, centeredness, z_scale, tau_pilot);
  }
  matrix[J_2, Q_2] b_2 = rep_matrix(mu_2, J_2);
  {
    matrix[J_2, Q_2] z_u_2 = z_2 + to_matrix(z_slopes_2 * z_theta, J_2, Q_2);
    b_2 += partly_centered(z_u_2, b_2, tau_2, centeredness_2, z_scale_2,
                           tau_pilot_2);
  }
}
