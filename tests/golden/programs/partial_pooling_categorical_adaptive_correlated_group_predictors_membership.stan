// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
//   eta has a column for each category but the first, the reference
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over m of weight_2[n, m] * Z_2[n] * u_2[group_2[n, m]]
//   b[j] = mu + U[j] * (its effects, which are in beta) + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
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
  int<lower=1> P; // number of group-level predictors
  matrix[J, P] U; // group-level predictors, which are also in X
  // their effects on each coefficient, by their position in (0, alpha, beta)
  array[P, Q] int<lower=1, upper=K + 2> effect_index;
  // the mean that z is centered at, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> center_index;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q * (C - 1)] centeredness;
  matrix<lower=0>[J, Q * (C - 1)] z_scale; // gives z a scale near 1
  vector<lower=0>[Q * (C - 1)] tau_pilot; // estimate of tau
  matrix[1, P] U_bar; // U at x_bar
  vector<lower=0, upper=1>[J] decorrelated; // 1: z is uncorrelated
  int<lower=1> J_2; // number of groups
  int<lower=1> Q_2; // number of varying coefficients
  int<lower=1> M_2; // number of memberships of each row
  // groups of each row
  array[N, M_2] int<lower=1, upper=J_2> group_2;
  matrix<lower=0>[N, M_2] weight_2; // weights of the memberships
  matrix[N, Q_2] Z_2; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> mean_index_2;
  // the mean that z_2 is centered at, by its position in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> center_index_2;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J_2, Q_2 * (C - 1)] centeredness_2;
  matrix<lower=0>[J_2, Q_2 * (C - 1)] z_scale_2; // gives z_2 a scale near 1
  vector<lower=0>[Q_2 * (C - 1)] tau_pilot_2; // estimate of tau_2
  vector[C - 1] prior_Intercept_location;
  vector<lower=0>[C - 1] prior_Intercept_scale;
  vector[K * (C - 1)] prior_beta_location;
  vector<lower=0>[K * (C - 1)] prior_beta_scale;
  vector<lower=0>[Q * (C - 1)] prior_tau_rate;
  vector<lower=0>[Q_2 * (C - 1)] prior_tau_2_rate;
  real<lower=0> prior_Omega_shape;
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
  int Q_all_2 = Q_2 * (C - 1); // coefficients of each group
  array[C - 1, Q_2] int columns_2; // columns of b_2 for each category
  for (c in 1 : C - 1) {
    for (q in 1 : Q_2) {
      columns_2[c, q] = (c - 1) * Q_2 + q;
    }
  }
  array[Q, N] int places = u_positions(group, J, Q, 0);
  array[M_2 * Q_2, N] int places_2 = u_positions(group_2, J_2, Q_2, J * Q);
  matrix[N, Q + M_2 * Q_2] Z_all = append_col(Z, membership_Z(Z_2, weight_2));
  array[Q + M_2 * Q_2, N] int u_index = append_array(places, places_2);
}
parameters {
  row_vector[C - 1] alpha_c; // alpha at x_bar
  matrix[K, C - 1] beta;
  vector<lower=0>[Q_all] tau; // population scales
  cholesky_factor_corr[Q_all] L_Omega;
  matrix[J, Q_all] z; // coefficients, partly centered
  vector<lower=0>[Q_all_2] tau_2; // population scales
  matrix[J_2, Q_all_2] z_2; // coefficients, partly centered
}
transformed parameters {
  row_vector[C - 1] alpha = alpha_c - x_bar' * beta; // intercept at X = 0
  row_vector[Q_all] mu = category_means(mean_index, alpha, beta);
  row_vector[Q_all] mu_c = category_means(center_index, alpha_c, beta);
  for (c in 1 : C - 1) {
    matrix[1, Q] effects = effects_of_U(U_bar, effect_index,
                                        zero_first(alpha, beta)[ : , c]);
    mu_c[columns[c]] -= effects[1];
  }
  row_vector[Q_all_2] mu_2 = category_means(mean_index_2, alpha, beta);
  row_vector[Q_all_2] mu_c_2 = category_means(center_index_2, alpha_c, beta);
}
model {
  matrix[J, Q_all] mean = rep_matrix(mu_c, J); // of b at x_bar
  for (c in 1 : C - 1) {
    mean[ : , columns[c]] += effects_of_U(U, effect_index,
                                          zero_first(alpha, beta)[ : , c]);
  }
  matrix[J, Q_all] u = partly_centered_correlated(z, mean, tau, L_Omega,
                                                  centeredness, z_scale,
                                                  tau_pilot, decorrelated);
  matrix[J_2, Q_all_2] mean_2 = rep_matrix(mu_c_2, J_2); // of b_2 at x_bar
  matrix[J_2, Q_all_2] u_2 = partly_centered(z_2, mean_2, tau_2,
                                             centeredness_2, z_scale_2,
                                             tau_pilot_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  to_vector(beta) ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  target += sum(decorrelated) * sum(log(diagonal(L_Omega)));
  for (q in 1 : Q_all_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  // Jacobian of b_2 as a function of z_2
  target += ones_row_vector(J_2) * (1 - centeredness_2) * log(tau_2);
  if (prior_only == 0) {
    y ~ grouped_categorical_logit_glm(X_c, alpha_c, beta, Z_all, u_index,
                                      append_row(to_matrix(u, J * Q, C - 1),
                                                 to_matrix(u_2, J_2 * Q_2,
                                                           C - 1)));
  }
}
generated quantities {
  matrix[Q_all, Q_all] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q_all] b = rep_matrix(mu_c, J);
  for (c in 1 : C - 1) {
    b[ : , columns[c]] += effects_of_U(U, effect_index,
                                       zero_first(alpha, beta)[ : , c]);
  }
  b += partly_centered_correlated(z, b, tau, L_Omega, centeredness, z_scale,
                                  tau_pilot, decorrelated);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_2, Q_all_2] b_2 = rep_matrix(mu_c_2, J_2);
  b_2 += partly_centered(z_2, b_2, tau_2, centeredness_2, z_scale_2,
                         tau_pilot_2);
  b_2 += rep_matrix(mu_2 - mu_c_2, J_2); // at X = 0
}
