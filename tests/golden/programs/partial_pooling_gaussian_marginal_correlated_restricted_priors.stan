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
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  // beta is constant but at these places
  int<lower=0> n_beta_estimated;
  array[n_beta_estimated] int at_beta_estimated;
  vector[K] beta_constant;
  vector[n_beta_estimated] lower_beta; // bounds
  vector[n_beta_estimated] upper_beta;
  int<lower=1> n_beta_normal;
  array[n_beta_normal] int<lower=1, upper=K> at_beta_normal;
  vector[n_beta_normal] prior_beta_normal_location;
  vector<lower=0>[n_beta_normal] prior_beta_normal_scale;
  int<lower=1> n_beta_student_t;
  array[n_beta_student_t] int<lower=1, upper=K> at_beta_student_t;
  vector<lower=0>[n_beta_student_t] prior_beta_student_t_df;
  vector[n_beta_student_t] prior_beta_student_t_location;
  vector<lower=0>[n_beta_student_t] prior_beta_student_t_scale;
  // tau is constant but at these places
  int<lower=0> n_tau_estimated;
  array[n_tau_estimated] int at_tau_estimated;
  vector[Q] tau_constant;
  vector[n_tau_estimated] lower_tau; // bounds
  vector[n_tau_estimated] upper_tau;
  int<lower=1> n_tau_normal;
  array[n_tau_normal] int<lower=1, upper=Q> at_tau_normal;
  vector[n_tau_normal] prior_tau_normal_location;
  vector<lower=0>[n_tau_normal] prior_tau_normal_scale;
  int<lower=1> n_tau_exponential;
  array[n_tau_exponential] int<lower=1, upper=Q> at_tau_exponential;
  vector<lower=0>[n_tau_exponential] prior_tau_exponential_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  real alpha_c; // alpha at x_bar
  vector<lower=lower_beta, upper=upper_beta>[n_beta_estimated] beta_estimated;
  vector<lower=lower_tau, upper=upper_tau>[n_tau_estimated] tau_estimated;
  cholesky_factor_corr[Q] L_Omega;
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[K] beta = beta_constant;
  beta[at_beta_estimated] = beta_estimated;
  vector[Q] tau = tau_constant;
  tau[at_tau_estimated] = tau_estimated;
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta[at_beta_normal] ~ normal(prior_beta_normal_location,
                                prior_beta_normal_scale);
  beta[at_beta_student_t] ~ student_t(prior_beta_student_t_df,
                                      prior_beta_student_t_location,
                                      prior_beta_student_t_scale);
  tau[at_tau_normal] ~ normal(prior_tau_normal_location,
                              prior_tau_normal_scale);
  tau[at_tau_exponential] ~ exponential(prior_tau_exponential_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ exponential(prior_sigma_rate);
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
