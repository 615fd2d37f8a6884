// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
//   eta has a column for each category but the first, the reference
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   b[j] = mu + (effects of U[j]) + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
functions {
  // what the means of the groups' coefficients are picked from: 0, intercepts,
  // coefficients, with a column for each category but the reference
  matrix population(matrix beta) {
    return append_row(zeros_row_vector(cols(beta)), beta);
  }
  matrix population(row_vector alpha, matrix beta) {
    return population(append_row(alpha, beta));
  }
  // log density of the rows of u, each multi_normal(0, L * L')
  real multi_normal_rows_lpdf(matrix u, matrix L) {
    return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u')))
           - rows(u) * sum(log(diagonal(L)));
  }
  // what group-level predictors U add to the means of the groups' coefficients;
  // effect_of says which population coefficients (first: 0) are their effects
  matrix group_level(matrix U, array[,] int effect_of, vector population) {
    matrix[rows(U), size(effect_of[1])] m = rep_matrix(0, rows(U),
                                                       size(effect_of[1]));
    for (p in 1 : cols(U)) {
      m += U[ : , p] * population[effect_of[p]]';
    }
    return m;
  }
}
data {
  int<lower=1> N; // rows
  int<lower=2> C; // categories, the reference first
  array[N] int<lower=1, upper=C> y; // outcome
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 2> mean_of; // mu in (0, alpha, beta)
  int<lower=1> P; // group-level predictors
  matrix[J, P] U;
  array[P, Q] int<lower=1, upper=K + 2> effect_of; // and their effects
  int<lower=1> J_2; // groups
  int<lower=1> Q_2; // varying coefficients
  int<lower=1> M_2; // memberships of a row
  array[N, M_2] int<lower=1, upper=J_2> group_2;
  matrix<lower=0>[N, M_2] weight_2;
  matrix[N, Q_2] Z_2;
  array[Q_2] int<lower=1, upper=K + 2> mean_of_2; // mu_2 in (0, alpha, beta)
  vector[C - 1] prior_Intercept_location;
  vector<lower=0>[C - 1] prior_Intercept_scale;
  vector[K * (C - 1)] prior_beta_location;
  vector<lower=0>[K * (C - 1)] prior_beta_scale;
  vector<lower=0>[Q * (C - 1)] prior_tau_rate;
  vector<lower=0>[Q_2 * (C - 1)] prior_tau_2_rate;
  real<lower=0> prior_Omega_shape;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  int D = Q * (C - 1); // coefficients of each group
  array[C - 1, Q] int columns; // the columns of b of each category
  for (c in 1 : C - 1) {
    columns[c] = linspaced_int_array(Q, (c - 1) * Q + 1, c * Q);
  }
  int D_2 = Q_2 * (C - 1); // coefficients of each group
  array[C - 1, Q_2] int columns_2; // the columns of b_2 of each category
  for (c in 1 : C - 1) {
    columns_2[c] = linspaced_int_array(Q_2, (c - 1) * Q_2 + 1, c * Q_2);
  }
}
parameters {
  row_vector[C - 1] alpha_c; // alpha at x_bar
  matrix[K, C - 1] beta;
  vector<lower=0>[D] tau; // population scales
  cholesky_factor_corr[D] L_Omega;
  matrix[J, D] b;
  vector<lower=0>[D_2] tau_2; // population scales
  matrix[J_2, D_2] b_2;
}
transformed parameters {
  row_vector[C - 1] alpha = alpha_c - x_bar' * beta; // intercept at X = 0
  row_vector[D] mu = to_row_vector(population(alpha, beta)[mean_of]);
  row_vector[D_2] mu_2 = to_row_vector(population(alpha, beta)[mean_of_2]);
}
model {
  matrix[J, D] u = b - rep_matrix(mu, J); // deviations
  matrix[J_2, D_2] u_2 = b_2 - rep_matrix(mu_2, J_2); // deviations
  for (c in 1 : C - 1) {
    u[ : , columns[c]] -= group_level(U, effect_of,
                                      population(alpha, beta)[ : , c]);
  }
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  to_vector(beta) ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  for (q in 1 : D_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  if (prior_only == 0) {
    matrix[N, C - 1] group_effect = rep_matrix(0, N, C - 1);
    for (c in 1 : C - 1) {
      group_effect[ : , c] += rows_dot_product(Z, u[group, columns[c]]);
    }
    for (c in 1 : C - 1) {
      for (m in 1 : M_2) {
        vector[N] effect = rows_dot_product(Z_2,
                                            u_2[group_2[ : , m], columns_2[c]]);
        group_effect[ : , c] += weight_2[ : , m] .* effect;
      }
    }
    matrix[N, C - 1] eta = rep_matrix(alpha_c, N) + group_effect + X_c * beta;
    matrix[C - 1, C] as_it_is = append_col(zeros_vector(C - 1),
                                           identity_matrix(C - 1));
    y ~ categorical_logit_glm(eta, zeros_vector(C), as_it_is);
  }
}
generated quantities {
  matrix[D, D] Omega = multiply_lower_tri_self_transpose(L_Omega);
}
