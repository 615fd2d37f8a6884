// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//            + Z_2[n] * u_2[group_2[n]]
//   b[j] = mu + U[j] * (its effects, which are in beta) + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//
// u_2 and u are integrated out of the likelihood, and drawn after sampling.
// The rows are reduced by QR decompositions, which keep all sums of squares.
// There remain Q_2 rows of each group, N_rest rows in which Z is 0, and rows of
// zeros, which enter by their number alone. Groups with equal Z are merged.
functions {
  // as marginal_normal_id_glm, with the coefficients u_2 of a second factor
  // integrated out, too: A[q] * u_2 is added to the mean of y[q], and groups of
  // the second factor have coefficients T * z, z ~ std_normal(). A is sparse:
  // entries, columns and row starts are as in csr_to_dense_matrix. The other
  // rows, y_rest ~ normal(X_rest * theta + A_rest * u_2, sqrt(v)), enter by
  // their cross-products A_rest' * [y_rest, X_rest, A_rest]; their density at
  // u_2 = 0 is not included
  real twice_marginal_normal_id_glm_lpdf(array[] vector y, array[] matrix X,
                                         vector theta, array[] matrix Z,
                                         matrix Sigma, real v,
                                         vector n_groups, array[] vector a,
                                         array[] int A_column,
                                         array[] int A_row_start,
                                         matrix A_crossproducts, matrix T) {
    int J = num_elements(n_groups);
    int Q = size(y);
    int K = num_elements(theta);
    int N_u = rows(A_crossproducts);
    int Q_2 = rows(T);
    array[Q] vector[J] e;
    array[Q] matrix[J, N_u] A;
    array[Q, Q] vector[J] S;
    vector[N_u] r = (A_crossproducts[ : , 1]
                     - A_crossproducts[ : , 2 : K + 1] * theta)
                    / v;
    matrix[N_u, N_u] P = A_crossproducts[ : , K + 2 : K + 1 + N_u] / v;
    matrix[N_u, N_u] T_all = rep_matrix(0, N_u, N_u);
    matrix[N_u, N_u] L;
    real lp = 0;
    for (q in 1 : Q) {
      e[q] = y[q] - X[q] * theta;
      A[q] = rep_matrix(0, J, N_u);
      for (j in 1 : J) {
        for (n in A_row_start[j] : (A_row_start[j + 1] - 1)) {
          A[q][j, A_column[n]] = a[q][n];
        }
      }
      for (s in 1 : q) {
        S[q, s] = rows_dot_product(Z[q] * Sigma, Z[s]);
      }
      S[q, q] += v;
    }
    for (q in 1 : Q) {
      lp -= 0.5 * dot_product(n_groups, log(S[q, q]));
      lp -= 0.5 * dot_product(e[q], e[q] ./ S[q, q]);
      r += A[q]' * (e[q] ./ S[q, q]);
      P += A[q]' * (rep_matrix(inv(S[q, q]), N_u) .* A[q]);
      for (s in (q + 1) : Q) {
        vector[J] l = S[s, q] ./ S[q, q];
        e[s] -= l .* e[q];
        A[s] -= rep_matrix(l, N_u) .* A[q];
        for (t in s : Q) {
          S[t, s] -= l .* S[t, q];
        }
      }
    }
    for (j in 1 : N_u %/% Q_2) {
      int before = (j - 1) * Q_2;
      T_all[before + 1 : before + Q_2, before + 1 : before + Q_2] = T;
    }
    r = T_all' * r;
    P = add_diag(T_all' * P * T_all, 1);
    L = cholesky_decompose(0.5 * (P + P'));
    return lp - sum(log(diagonal(L)))
           + 0.5 * dot_self(mdivide_left_tri_low(L, r));
  }
  // a scale as a function of x, which may have any sign: near abs(x) for small
  // x, and near square(x) for large x
  vector scale_from_root(vector x) {
    return abs(x) .* sqrt(1 + square(x));
  }
  // log of the absolute derivative of scale_from_root
  real log_jacobian_of_scale(vector x) {
    return sum(log1p(2 * square(x)) - 0.5 * log1p(square(x)));
  }
}
data {
  int<lower=0> K; // number of population predictors
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  int<lower=1> J_reduced; // number of groups after merging
  int<lower=1> Q_2; // number of varying coefficients
  int<lower=0> K_X; // columns of X: predictors
  array[Q_2] vector[J_reduced] y; // outcome, Q_2 rows of each group
  array[Q_2] matrix[J_reduced, K_X] X; // predictors in these rows
  array[Q_2] matrix[J_reduced, Q_2] Z; // predictors of u_2
  // A has the predictors of to_vector(u'), as a sparse matrix: its
  // nnz_A nonzero entries, their columns, and where each row starts
  int<lower=0> nnz_A;
  array[Q_2] vector[nnz_A] A;
  array[nnz_A] int<lower=1, upper=J * Q> A_column;
  array[J_reduced + 1] int<lower=1, upper=nnz_A + 1> A_row_start;
  vector[J_reduced] n_groups; // number of groups that each represents
  int<lower=0> N_rest; // number of rows in which Z is 0
  vector[N_rest] y_rest; // their outcome
  matrix[N_rest, K_X] X_rest; // their predictors
  // tau is near tau_unit * abs(tau_root) where it is smaller than
  // tau_unit, and near tau_unit * square(tau_root) where it is larger
  vector<lower=0>[Q] tau_unit;
  // tau_2 is near tau_unit_2 * abs(tau_root_2) where it is smaller than
  // tau_unit_2, and near tau_unit_2 * square(tau_root_2) where it is larger
  vector<lower=0>[Q_2] tau_unit_2;
  // A_rest' * [y_rest, X_rest, A_rest], with the A of the N_rest rows
  matrix[J * Q, 1 + K_X + J * Q] A_crossproducts;
  // number of rows of zeros, minus those with which small groups are filled up
  real N_zero_rows;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  vector[K] beta;
  vector[Q] tau_root; // determines tau by its absolute value
  vector[Q_2] tau_root_2; // determines tau_2 by its absolute value
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector<lower=0>[Q] tau = tau_unit .* scale_from_root(tau_root);
  vector<lower=0>[Q_2] tau_2 = tau_unit_2 .* scale_from_root(tau_root_2);
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  sigma ~ exponential(prior_sigma_rate);
  target += log_jacobian_of_scale(tau_root); // the prior is on tau
  target += log_jacobian_of_scale(tau_root_2); // the prior is on tau_2
  if (prior_only == 0) {
    vector[K_X] theta = beta;
    matrix[Q_2, Q_2] Sigma = diag_matrix(square(tau_2));
    y ~ twice_marginal_normal_id_glm(X, theta, Z, Sigma, square(sigma),
                                     n_groups, A, A_column, A_row_start,
                                     A_crossproducts, diag_matrix(tau));
    y_rest ~ normal_id_glm(X_rest, 0, theta, sigma);
    target += -N_zero_rows * log(sigma);
  }
}
