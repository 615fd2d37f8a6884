// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ normal(eta[n], se[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + Z_2[n] * u_2[group_2[n]]
//            + Z_3[n] * u_3[group_3[n]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//   b_3[j] = mu_3 + u_3[j]
//   u_3[j, q] ~ normal(0, tau_3[q])
//
// u_2 and u are integrated out and drawn back afterwards. The rows come turned
// by an orthogonal matrix, which changes no sum of squares: of each group as
// many have Z as it has coefficients, F rows have X and y only, and the others
// are zero, so that their number says all. Groups with equal Z are turned, too.
functions {
  // as marginal_normal_id_glm, with coefficients of a second factor integrated
  // out, too: y[q] has A[q] * u_2 added, where each group of the second factor
  // has T * z in u_2, z ~ std_normal(). A is sparse, as in csr_to_dense_matrix.
  // y_rest ~ normal(X_rest * theta + A_rest * u_2, sqrt(v)) is told by products
  // = A_rest' * [y_rest, X_rest, A_rest], less its density at u_2 = 0
  real twice_marginal_normal_id_glm_lpdf(array[] vector y, array[] matrix X,
                                         vector theta, array[] matrix Z,
                                         matrix Sigma, real v, vector count,
                                         array[] vector a,
                                         array[] int column,
                                         array[] int first, matrix products,
                                         matrix T) {
    int G = num_elements(count);
    int Q = size(y);
    int D = num_elements(theta);
    int K = rows(products);
    int Q_2 = rows(T);
    array[Q] vector[G] e;
    array[Q] matrix[G, K] A;
    array[Q, Q] vector[G] S;
    vector[K] r = (products[ : , 1] - products[ : , 2 : D + 1] * theta) / v;
    matrix[K, K] P = products[ : , D + 2 : D + 1 + K] / v;
    matrix[K, K] T_all = rep_matrix(0, K, K);
    real lp = 0;
    for (q in 1 : Q) {
      e[q] = y[q] - X[q] * theta;
      A[q] = csr_to_dense_matrix(G, K, a[q], column, first);
      for (s in 1 : q) {
        S[q, s] = rows_dot_product(Z[q] * Sigma, Z[s]);
      }
      S[q, q] += v;
    }
    for (q in 1 : Q) {
      lp -= 0.5 * dot_product(count, log(S[q, q]));
      lp -= 0.5 * dot_product(e[q], e[q] ./ S[q, q]);
      r += A[q]' * (e[q] ./ S[q, q]);
      P += A[q]' * diag_pre_multiply(inv(S[q, q]), A[q]);
      for (s in (q + 1) : Q) {
        vector[G] l = S[s, q] ./ S[q, q];
        e[s] -= l .* e[q];
        A[s] -= diag_pre_multiply(l, A[q]);
        for (t in s : Q) {
          S[t, s] -= l .* S[t, q];
        }
      }
    }
    for (j in 1 : K %/% Q_2) {
      int before = (j - 1) * Q_2;
      T_all[before + 1 : before + Q_2, before + 1 : before + Q_2] = T;
    }
    r = T_all' * r;
    P = add_diag(T_all' * P * T_all, 1);
    P = 0.5 * (P + P');
    return lp - 0.5 * log_determinant_spd(P)
           + 0.5 * dot_product(r, mdivide_left_spd(P, r));
  }
  // a scale of a root x of any sign: near 0 as |x|, far from it as its square
  vector scale_of_root(vector x) {
    return abs(x) .* sqrt(1 + square(x));
  }
  // log of its slope, so that a prior on it is its own
  real log_slope_of_scale(vector x) {
    return sum(log1p(2 * square(x)) - 0.5 * log1p(square(x)));
  }
}
data {
  int<lower=0> K; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real y_bar; // was taken from the outcome
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  int<lower=1> G; // groups that are left
  int<lower=1> Q_2; // varying coefficients
  int<lower=1> J_3; // groups
  int<lower=1> Q_3; // varying coefficients
  array[Q_3] int<lower=1, upper=K + 2> mean_of_3; // mu_3 in (0, alpha, beta)
  int<lower=0> D; // columns of X: intercept, predictors, other factors
  array[Q_2] vector[G] y; // outcome
  array[Q_2] matrix[G, D] X;
  array[Q_2] matrix[G, Q_2] Z;
  int<lower=0> E; // numbers of A: predictors of to_vector(u'), sparse
  array[Q_2] vector[E] A;
  array[E] int<lower=1, upper=J * Q> column; // as in csr_to_dense_matrix
  array[G + 1] int<lower=1, upper=E + 1> first;
  vector[G] count; // how many groups each stands for
  int<lower=0> F; // rows without Z
  vector[F] y_rest;
  matrix[F, D] X_rest;
  vector<lower=0>[Q] tau_unit; // smaller ones are alike to the rows
  vector<lower=0>[Q_2] tau_unit_2; // smaller ones are alike to the rows
  matrix[J * Q, 1 + D + J * Q] products; // their A' * [y, X, A]
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  vector<lower=0>[Q_3] prior_tau_3_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector[Q] tau_root; // of tau, whose signs mean nothing: 0 is no wall
  vector[Q_2] tau_root_2; // of tau_2, whose signs mean nothing: 0 is no wall
  vector<lower=0>[Q_3] tau_3; // population scales
  matrix[J_3, Q_3] z_3; // standardised deviations of b_3
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  vector<lower=0>[Q] tau = tau_unit .* scale_of_root(tau_root);
  vector<lower=0>[Q_2] tau_2 = tau_unit_2 .* scale_of_root(tau_root_2);
  row_vector[Q_3] mu_3 = append_row([0, alpha]', beta)[mean_of_3]'; // means
}
model {
  matrix[J_3, Q_3] u_3 = diag_post_multiply(z_3, tau_3); // deviations
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  tau_3 ~ exponential(prior_tau_3_rate);
  to_vector(z_3) ~ std_normal(); // so that u_3 is distributed as above
  target += log_slope_of_scale(tau_root); // the prior is that of tau
  target += log_slope_of_scale(tau_root_2); // the prior is that of tau_2
  if (prior_only == 0) {
    vector[D] theta = append_row(append_row(alpha_c - y_bar, beta),
                                 to_vector(u_3'));
    matrix[Q_2, Q_2] Sigma = diag_matrix(square(tau_2));
    // divided by the known standard errors
    y ~ twice_marginal_normal_id_glm(X, theta, Z, Sigma, 1, count, A, column,
                                     first, products, diag_matrix(tau));
    y_rest ~ normal_id_glm(X_rest, 0, theta, 1.0);
  }
}
generated quantities {
  matrix[J_3, Q_3] b_3 = diag_post_multiply(z_3, tau_3);
  b_3 += rep_matrix(mu_3, J_3);
}
