// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
//   eta has a column for each category but the first, the reference
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
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
  // Cholesky factor of the covariance that deviations have at the predictors'
  // centers, where they are uncorrelated with scales tau at predictors of 0
  matrix cholesky_at_centers(vector tau, matrix uncenter) {
    int Q = num_elements(tau);
    matrix[Q, Q] A = diag_pre_multiply(tau, inverse(uncenter)');
    matrix[Q, Q] L = rep_matrix(0, Q, Q);
    // QR decomposition by modified Gram-Schmidt steps
    for (q in 1 : Q) {
      L[q, q] = sqrt(dot_self(A[ : , q]));
      A[ : , q] /= L[q, q];
      for (r in (q + 1) : Q) {
        L[r, q] = dot_product(A[ : , q], A[ : , r]);
        A[ : , r] -= L[r, q] * A[ : , q];
      }
    }
    return L;
  }
  // the same for deviations that are uncorrelated where predictors are 0. At
  // predictors' centers they are v * L', and the deviation of each coefficient
  // is stated given those of the coefficients before it
  matrix partly_centered_recentered(matrix z, matrix mean, matrix L,
                                    matrix centeredness, matrix z_scale,
                                    vector tau_pilot, matrix uncenter) {
    matrix[rows(z), cols(z)] v;
    for (q in 1 : cols(z)) {
      vector[rows(z)] known = v[ : , 1 : q - 1] * L[q, 1 : q - 1]';
      v[ : , q] = (z_scale[ : , q] .* z[ : , q]
                   - centeredness[ : , q] .* (mean[ : , q] + known))
                  .* exp(log(L[q, q] / tau_pilot[q])
                         * (1 - centeredness[ : , q]))
                  / L[q, q];
    }
    return v * (uncenter * L)';
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
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q * (C - 1)] centeredness;
  matrix<lower=0>[J, Q * (C - 1)] z_scale; // gives z a scale near 1
  vector<lower=0>[Q * (C - 1)] tau_pilot; // estimate of diagonal(L)
  // takes deviations from predictors' centers to predictors of 0
  matrix[Q * (C - 1), Q * (C - 1)] uncenter;
  vector[C - 1] prior_Intercept_location;
  vector<lower=0>[C - 1] prior_Intercept_scale;
  vector[K * (C - 1)] prior_beta_location;
  vector<lower=0>[K * (C - 1)] prior_beta_scale;
  vector<lower=0>[Q * (C - 1)] prior_tau_rate;
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
  matrix[J, Q_all] z; // coefficients, partly centered
}
transformed parameters {
  row_vector[C - 1] alpha = alpha_c - x_bar' * beta; // intercept at X = 0
  row_vector[Q_all] mu = category_means(mean_index, alpha, beta);
  row_vector[Q_all] mu_c = category_means(mean_index, alpha_c, beta);
  // L * L' is the covariance of deviations at predictors' centers
  matrix[Q_all, Q_all] L = cholesky_at_centers(tau, uncenter);
}
model {
  matrix[J, Q_all] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q_all] u = partly_centered_recentered(z, mean, L, centeredness,
                                                  z_scale, tau_pilot,
                                                  uncenter);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  to_vector(beta) ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  for (q in 1 : Q_all) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(diagonal(L));
  if (prior_only == 0) {
    y ~ grouped_categorical_logit_glm(X_c, alpha_c, beta, Z, u_index,
                                      to_matrix(u, J * Q, C - 1));
  }
}
generated quantities {
  matrix[J, Q_all] b = rep_matrix(mu_c, J);
  b += partly_centered_recentered(z, b, L, centeredness, z_scale, tau_pilot,
                                  uncenter);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
