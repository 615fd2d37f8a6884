// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
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
  // a scale as a function of x, which may have any sign: near abs(x) for small
  // x, and near square(x) for large x
  vector scale_from_root(vector x) {
    return abs(x) .* sqrt(1 + square(x));
  }
  // log of the absolute derivative of scale_from_root
  real log_jacobian_of_scale(vector x) {
    return sum(log1p(2 * square(x)) - 0.5 * log1p(square(x)));
  }
  // coefficients with a regularized horseshoe prior, of standardized ones; a
  // slab bounds those that are large (Piironen and Vehtari 2017)
  vector horseshoe(vector z, vector local, real global, real slab,
                   vector global_scale, vector slab_scale) {
    vector[rows(z)] shrunk = square(global * global_scale .* local);
    vector[rows(z)] widest = slab * square(slab_scale);
    return z .* sqrt(shrunk .* widest ./ (shrunk + widest));
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
  // tau is near tau_unit * abs(tau_root) where it is smaller than
  // tau_unit, and near tau_unit * square(tau_root) where it is larger
  vector<lower=0>[Q] tau_unit;
  // number of rows of zeros, minus those with which small groups are filled up
  real N_zero_rows;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector<lower=0>[K] prior_beta_global_scale;
  vector<lower=0>[K] prior_beta_slab_df;
  vector<lower=0>[K] prior_beta_slab_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta_z; // standardized coefficients
  vector<lower=0>[K] beta_local; // scale of each coefficient
  real<lower=0> beta_global; // scale of all coefficients
  real<lower=0> beta_slab; // bounds the variance of large ones
  vector[Q] tau_root; // determines tau by its absolute value
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[K] beta = horseshoe(beta_z, beta_local, beta_global, beta_slab,
                             prior_beta_global_scale, prior_beta_slab_scale);
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  vector<lower=0>[Q] tau = tau_unit .* scale_from_root(tau_root);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  tau ~ exponential(prior_tau_rate);
  sigma ~ exponential(prior_sigma_rate);
  beta_z ~ std_normal(); // implies the distribution of beta
  beta_local ~ cauchy(0, 1);
  beta_global ~ cauchy(0, 1);
  beta_slab ~ inv_gamma(0.5 * prior_beta_slab_df[1],
                        0.5 * prior_beta_slab_df[1]);
  target += log_jacobian_of_scale(tau_root); // the prior is on tau
  if (prior_only == 0) {
    vector[K_X] theta = append_row(alpha_c - y_shift, beta);
    matrix[Q, Q] Sigma = diag_matrix(square(tau));
    y ~ marginal_normal_id_glm(X, theta, Z, Sigma,
                               rep_vector(square(sigma), J_reduced),
                               n_groups);
    y_rest ~ normal_id_glm(X_rest, 0, theta, sigma);
    target += -N_zero_rows * log(sigma);
  }
}
