// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
//   eta has a column for each category but the first, the reference
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// Groups whose own data say much are centered, others are not, and many are in
// between: w says how far, for each group and coefficient.
functions {
  // what the means of the groups' coefficients are picked from: 0, intercepts,
  // coefficients, with a column for each category but the reference
  matrix population(matrix beta) {
    return append_row(zeros_row_vector(cols(beta)), beta);
  }
  matrix population(row_vector alpha, matrix beta) {
    return population(append_row(alpha, beta));
  }
  // deviations that are uncorrelated where predictors are 0. Where these are at
  // their origins, they are v * L', each about what those before it say, and so
  // they are there unit * z - mean if w = 1 (centered)
  matrix partly_centered(matrix z, matrix mean, matrix L, matrix w,
                         matrix unit, vector tau_pilot, matrix to_zero) {
    matrix[rows(z), cols(z)] v;
    for (q in 1 : cols(z)) {
      vector[rows(z)] known = v[ : , 1 : q - 1] * L[q, 1 : q - 1]';
      v[ : , q] = (unit[ : , q] .* z[ : , q]
                   - w[ : , q] .* (mean[ : , q] + known))
                  .* exp(log(L[q, q] / tau_pilot[q]) * (1 - w[ : , q]))
                  / L[q, q];
    }
    return v * (to_zero * L)';
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
  matrix<lower=0, upper=1>[J, Q * (C - 1)] w; // 1: centered, 0: not
  matrix<lower=0>[J, Q * (C - 1)] unit; // of z
  vector<lower=0>[Q * (C - 1)] tau_pilot; // a guess of diagonal(L)
  matrix[Q * (C - 1), Q * (C - 1)] to_zero; // from predictors' origins, of u
  vector[C - 1] prior_Intercept_location;
  vector<lower=0>[C - 1] prior_Intercept_scale;
  vector[K * (C - 1)] prior_beta_location;
  vector<lower=0>[K * (C - 1)] prior_beta_scale;
  vector<lower=0>[Q * (C - 1)] prior_tau_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  int D = Q * (C - 1); // coefficients of each group
  array[C - 1, Q] int columns; // the columns of b of each category
  for (c in 1 : C - 1) {
    columns[c] = linspaced_int_array(Q, (c - 1) * Q + 1, c * Q);
  }
}
parameters {
  row_vector[C - 1] alpha_c; // alpha at x_bar
  matrix[K, C - 1] beta;
  vector<lower=0>[D] tau; // population scales
  matrix[J, D] z; // b / unit where w = 1, at the origins
}
transformed parameters {
  row_vector[C - 1] alpha = alpha_c - x_bar' * beta; // intercept at X = 0
  row_vector[D] mu = to_row_vector(population(alpha, beta)[mean_of]);
  row_vector[D] mu_c = to_row_vector(population(alpha_c, beta)[mean_of]);
  // L * L' is the covariance of deviations at the origins
  matrix[D, D] L = qr_thin_R(diag_pre_multiply(tau, inverse(to_zero)'))';
}
model {
  matrix[J, D] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, D] u = partly_centered(z, mean, L, w, unit, tau_pilot, to_zero);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  to_vector(beta) ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  for (q in 1 : D) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  target += sum((1 - w) * log(diagonal(L))); // z is stretched into u
  if (prior_only == 0) {
    matrix[N, C - 1] group_effect = rep_matrix(0, N, C - 1);
    for (c in 1 : C - 1) {
      group_effect[ : , c] += rows_dot_product(Z, u[group, columns[c]]);
    }
    matrix[N, C - 1] eta = rep_matrix(alpha_c, N) + group_effect + X_c * beta;
    matrix[C - 1, C] as_it_is = append_col(zeros_vector(C - 1),
                                           identity_matrix(C - 1));
    y ~ categorical_logit_glm(eta, zeros_vector(C), as_it_is);
  }
}
generated quantities {
  matrix[J, D] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, L, w, unit, tau_pilot, to_zero);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
