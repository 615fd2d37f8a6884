// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ poisson(exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
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
  // the predictors of each membership of the rows, times its weight
  matrix membership_Z(matrix Z, matrix weight) {
    matrix[rows(Z), cols(weight) * cols(Z)] columns;
    for (m in 1 : cols(weight)) {
      for (q in 1 : cols(Z)) {
        columns[ : , (m - 1) * cols(Z) + q] = weight[ : , m] .* Z[ : , q];
      }
    }
    return columns;
  }
  // as u_positions above, for rows that are members of several groups
  array[,] int u_positions(array[,] int group, int J, int Q, int before) {
    array[size(group[1]) * Q, size(group)] int u_index;
    for (m in 1 : size(group[1])) {
      u_index[(m - 1) * Q + 1 : m * Q] = u_positions(group[ : , m], J, Q,
                                                     before);
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
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  int<lower=1> M_2; // number of memberships of each row
  // groups of each row
  array[N, M_2] int<lower=1, upper=J_2> group_2;
  matrix<lower=0>[N, M_2] weight_2; // weights of the memberships
  matrix[N, Q_2] Z_2; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> mean_index_2;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  array[Q, N] int places = u_positions(group, J, Q, 0);
  array[M_2 * Q_2, N] int places_2 = u_positions(group_2, J_2, Q_2, J * Q);
  matrix[N, Q + M_2 * Q_2] Z_all = append_col(Z, membership_Z(Z_2, weight_2));
  array[Q + M_2 * Q_2, N] int u_index = append_array(places, places_2);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] b;
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] b_2;
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q_2] mu_2 = append_row([0, alpha]', beta)[mean_index_2]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = b - rep_matrix(mu, J);
  matrix[J_2, Q_2] u_2 = b_2 - rep_matrix(mu_2, J_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
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
    y ~ grouped_poisson_log_glm(X_c, alpha_c, beta, Z_all, u_index,
                                append_row(to_vector(u), to_vector(u_2)));
  }
}
