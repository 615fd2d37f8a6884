// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// u is integrated out of the likelihood, and drawn after sampling.
// The rows are reduced by QR decompositions, which keep all sums of squares.
// There remain Q rows of each group, N_rest rows in which Z is 0, and rows of
// zeros, which enter by their number alone. Groups with equal Z are merged.
functions {
  // log density of y[q][j] = X[q][j] * theta + Z[q][j] * u + noise, where
  // u ~ multi_normal(0, Sigma) is integrated out and noise has variance v[j].
  // The covariance of y[q][j] and y[r][j] is S[q, r][j] = Z[q][j] * Sigma *
  // Z[r][j]', plus v[j] if q = r. The Cholesky factors of all j are computed
  // together, one column after the other; j represents n_groups[j] groups
  real marginal_normal_id_glm_lpdf(array[] vector y, array[] matrix X,
                                   vector theta, array[] matrix Z,
                                   matrix Sigma, vector v, vector n_groups) {
    int J = num_elements(v);
    int Q = size(y);
    array[Q] vector[J] e;
    array[Q, Q] vector[J] S;
    real lp = 0;
    for (q in 1 : Q) {
      e[q] = y[q] - X[q] * theta;
      for (r in 1 : q) {
        S[q, r] = rows_dot_product(Z[q] * Sigma, Z[r]);
      }
      S[q, q] += v;
    }
    for (q in 1 : Q) {
      lp -= 0.5 * dot_product(n_groups, log(S[q, q]));
      lp -= 0.5 * dot_product(e[q], e[q] ./ S[q, q]);
      for (r in (q + 1) : Q) {
        vector[J] l = S[r, q] ./ S[q, q];
        e[r] -= l .* e[q];
        for (s in r : Q) {
          S[s, r] -= l .* S[s, q];
        }
      }
    }
    return lp;
  }
  // log density of scales whose squares are inv_gamma(shape, scale)
  real sqrt_inv_gamma_lpdf(real x, real shape, real scale) {
    return inv_gamma_lpdf(square(x) | shape, scale) + log(2 * x);
  }
  real sqrt_inv_gamma_lpdf(vector x, vector shape, vector scale) {
    return inv_gamma_lpdf(square(x) | shape, scale) + sum(log(2 * x));
  }
  real sqrt_inv_gamma_lpdf(vector x, real shape, real scale) {
    return inv_gamma_lpdf(square(x) | shape, scale) + sum(log(2 * x));
  }
}
data {
  int<lower=0> K; // number of population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real y_shift; // has been subtracted from y
  int<lower=1> J_reduced; // number of groups after merging
  int<lower=1> Q; // number of varying coefficients
  int<lower=0> K_X; // columns of X: intercept, predictors
  array[Q] vector[J_reduced] y; // outcome, Q rows of each group
  array[Q] matrix[J_reduced, K_X] X; // predictors in these rows
  array[Q] matrix[J_reduced, Q] Z; // predictors of u
  vector[J_reduced] n_groups; // number of groups that each represents
  int<lower=0> N_rest; // number of rows in which Z is 0
  vector[N_rest] y_rest; // their outcome
  matrix[N_rest, K_X] X_rest; // their predictors
  // number of rows of zeros, minus those with which small groups are filled up
  real N_zero_rows;
  real lower_Intercept; // bounds
  real upper_Intercept;
  vector[K] lower_beta; // bounds
  vector[K] upper_beta;
  vector[Q] lower_tau; // bounds
  vector[Q] upper_tau;
  int<lower=1> n_tau_cauchy;
  array[n_tau_cauchy] int<lower=1, upper=Q> at_tau_cauchy;
  vector[n_tau_cauchy] prior_tau_cauchy_location;
  vector<lower=0>[n_tau_cauchy] prior_tau_cauchy_scale;
  int<lower=1> n_tau_sqrt_inv_gamma;
  array[n_tau_sqrt_inv_gamma] int<lower=1, upper=Q> at_tau_sqrt_inv_gamma;
  vector<lower=0>[n_tau_sqrt_inv_gamma] prior_tau_sqrt_inv_gamma_shape;
  vector<lower=0>[n_tau_sqrt_inv_gamma] prior_tau_sqrt_inv_gamma_scale;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_shape;
  real<lower=0> prior_sigma_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  real<lower=lower_Intercept, upper=upper_Intercept> alpha_c; // alpha at x_bar
  vector<lower=lower_beta, upper=upper_beta>[K] beta;
  vector<lower=lower_tau, upper=upper_tau>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
model {
  tau[at_tau_cauchy] ~ cauchy(prior_tau_cauchy_location,
                              prior_tau_cauchy_scale);
  tau[at_tau_sqrt_inv_gamma] ~ sqrt_inv_gamma(prior_tau_sqrt_inv_gamma_shape,
                                              prior_tau_sqrt_inv_gamma_scale);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ sqrt_inv_gamma(prior_sigma_shape, prior_sigma_scale);
  if (prior_only == 0) {
    vector[K_X] theta = append_row(alpha_c - y_shift, beta);
    matrix[Q, Q] Sigma = tcrossprod(diag_pre_multiply(tau, L_Omega));
    y ~ marginal_normal_id_glm(X, theta, Z, Sigma,
                               rep_vector(square(sigma), J_reduced),
                               n_groups);
    y_rest ~ normal_id_glm(X_rest, 0, theta, sigma);
    target += -N_zero_rows * log(sigma);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
}
