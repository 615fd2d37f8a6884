// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], se[n])
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
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
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  // the mean of each coefficient, by its position in (0, beta)
  array[Q] int<lower=1, upper=K + 1> mean_index;
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  // the mean of each coefficient, by its position in (0, beta)
  array[Q_2] int<lower=1, upper=K + 1> mean_index_2;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] b;
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] b_2;
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_index]'; // means
  row_vector[Q_2] mu_2 = append_row(0, beta)[mean_index_2]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = b - rep_matrix(mu, J);
  matrix[J_2, Q_2] u_2 = b_2 - rep_matrix(mu_2, J_2);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  for (q in 1 : Q_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  if (prior_only == 0) {
    vector[K_theta] theta = append_row(beta,
                                       append_row(to_vector(u),
                                                  to_vector(u_2)));
    products ~ normal_crossproducts(squares, N_rows, theta, 1.0, theta_hat,
                                    gram, gram_row, gram_column);
  }
}
