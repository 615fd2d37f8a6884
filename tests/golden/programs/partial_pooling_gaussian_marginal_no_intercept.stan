// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
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
  int<lower=1> J_reduced; // number of groups after merging
  int<lower=1> Q; // number of varying coefficients
  int<lower=0> K_X; // columns of X: predictors
  array[Q] vector[J_reduced] y; // outcome, Q rows of each group
  array[Q] matrix[J_reduced, K_X] X; // predictors in these rows
  array[Q] matrix[J_reduced, Q] Z; // predictors of u
  vector[J_reduced] n_groups; // number of groups that each represents
  int<lower=0> N_rest; // number of rows in which Z is 0
  vector[N_rest] y_rest; // their outcome
  matrix[N_rest, K_X] X_rest; // their predictors
  // number of rows of zeros, minus those with which small groups are filled up
  real N_zero_rows;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector[Q] prior_tau_location;
  vector<lower=0>[Q] prior_tau_scale;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  real<lower=0> sigma; // residual scale
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ lognormal(prior_tau_location, prior_tau_scale);
  sigma ~ exponential(prior_sigma_rate);
  if (prior_only == 0) {
    vector[K_X] theta = beta;
    matrix[Q, Q] Sigma = diag_matrix(square(tau));
    y ~ marginal_normal_id_glm(X, theta, Z, Sigma,
                               rep_vector(square(sigma), J_reduced),
                               n_groups);
    y_rest ~ normal_id_glm(X_rest, 0, theta, sigma);
    target += -N_zero_rows * log(sigma);
  }
}
