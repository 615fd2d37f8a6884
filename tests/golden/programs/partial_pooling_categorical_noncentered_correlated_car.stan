// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
//   eta has a column for each category but the first, the reference
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u = root * diag(s) * v, where
//     s^-2 = 1 - rho_u + rho_u * spectrum
//   v[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // 0, the intercepts and the coefficients, with a column for each category but
  // the reference
  matrix zero_first(matrix beta) {
    return append_row(zeros_row_vector(cols(beta)), beta);
  }
  matrix zero_first(row_vector alpha, matrix beta) {
    return zero_first(append_row(alpha, beta));
  }
  // means of the groups' coefficients, category by category; mean_index says
  // where they are in (0, alpha, beta)
  row_vector category_means(array[] int mean_index, matrix beta) {
    return to_row_vector(zero_first(beta)[mean_index]);
  }
  row_vector category_means(array[] int mean_index, row_vector alpha,
                            matrix beta) {
    return to_row_vector(zero_first(alpha, beta)[mean_index]);
  }
  // deviations of regions with the precision rho * P + (1 - rho) * I, of
  // independent deviations v; root has the eigenvectors of P, and spectrum its
  // eigenvalues
  matrix car(matrix v, matrix root, vector spectrum, real rho) {
    return root * diag_pre_multiply(inv_sqrt(1 - rho + rho * spectrum), v);
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
  //   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
  //   eta has a column for each category but the first, the reference
  //   eta[n] = alpha + X[n] * beta + sum over r of Z[n, r] * u[u_index[r, n]]
  real grouped_categorical_logit_glm_lpmf(array[] int y, matrix X,
                                          row_vector alpha, matrix beta,
                                          matrix Z, array[,] int u_index,
                                          matrix u) {
    int N = size(y);
    int C = cols(beta) + 1;
    matrix[N, C - 1] eta = rep_matrix(alpha, N) + X * beta;
    for (r in 1 : cols(Z)) {
      for (c in 1 : C - 1) {
        eta[ : , c] += Z[ : , r] .* u[u_index[r], c];
      }
    }
    matrix[C - 1, C] select = append_col(zeros_vector(C - 1),
                                         identity_matrix(C - 1));
    return categorical_logit_glm_lupmf(y | eta, zeros_vector(C), select);
  }
}
data {
  int<lower=1> N; // number of rows
  int<lower=2> C; // number of categories; the first is the reference
  array[N] int<lower=1, upper=C> y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  int<lower=1> R; // number of columns of root
  matrix[J, R] root; // eigenvectors of neighbours
  vector<lower=0>[R] spectrum; // their eigenvalues
  vector[C - 1] prior_Intercept_location;
  vector<lower=0>[C - 1] prior_Intercept_scale;
  vector[K * (C - 1)] prior_beta_location;
  vector<lower=0>[K * (C - 1)] prior_beta_scale;
  vector<lower=0>[Q * (C - 1)] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_rho_u_a;
  real<lower=0> prior_rho_u_b;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  int Q_all = Q * (C - 1); // coefficients of each group
  array[C - 1, Q] int columns; // columns of b for each category
  for (c in 1 : C - 1) {
    for (q in 1 : Q) {
      columns[c, q] = (c - 1) * Q + q;
    }
  }
  array[Q, N] int u_index = u_positions(group, J, Q, 0);
}
parameters {
  row_vector[C - 1] alpha_c; // alpha at x_bar
  matrix[K, C - 1] beta;
  vector<lower=0>[Q_all] tau; // population scales
  cholesky_factor_corr[Q_all] L_Omega;
  real<lower=0, upper=1> rho_u; // dependence of neighbours
  matrix[R, Q_all] z; // standardized deviations of b
}
transformed parameters {
  row_vector[C - 1] alpha = alpha_c - x_bar' * beta; // intercept at X = 0
  row_vector[Q_all] mu = category_means(mean_index, alpha, beta);
}
model {
  // deviations of groups from their means
  matrix[J, Q_all] u = car(z * diag_pre_multiply(tau, L_Omega)', root,
                           spectrum, rho_u);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  to_vector(beta) ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  rho_u ~ beta(prior_rho_u_a, prior_rho_u_b);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  if (prior_only == 0) {
    y ~ grouped_categorical_logit_glm(X_c, alpha_c, beta, Z, u_index,
                                      to_matrix(u, J * Q, C - 1));
  }
}
generated quantities {
  matrix[Q_all, Q_all] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q_all] b = car(z * diag_pre_multiply(tau, L_Omega)', root,
                           spectrum, rho_u);
  b += rep_matrix(mu, J);
}
