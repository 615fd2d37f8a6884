// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   beta = (beta_free, beta_m)
//   beta_m = departures of ordered levels from straight lines
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// u is integrated out of the likelihood, and drawn after sampling.
// The rows are reduced by QR decompositions, which keep all sums of squares.
// There remain Q rows of each group, N_rest rows in which Z is 0, and rows of
// zeros, which enter by their number alone. Groups with equal Z are merged.
functions {
  /* How far the levels of monotonic effects that are between the lowest and
     the highest are from straight lines (Buerkner and Charpentier 2020).
     mean_step: mean steps between neighbouring levels.
     steps: how large the steps are relative to each other, of one effect
     after the other.
     D: the number of steps of each effect. */
  vector departures(vector mean_step, vector steps, array[] int D) {
    vector[size(steps) - size(D)] found;
    int step = 1;
    int level = 1;
    for (m in 1 : size(D)) {
      int inner = D[m] - 1;
      vector[D[m]] own = segment(steps, step, D[m]);
      vector[inner] line = linspaced_vector(inner, 1, inner);
      vector[inner] rise = D[m] / sum(own) * head(cumulative_sum(own), inner);
      found[level : level + inner - 1] = mean_step[m] * (rise - line);
      step += D[m];
      level += inner;
    }
    return found;
  }
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
}
data {
  int<lower=0> K; // number of population predictors
  int<lower=0, upper=K> K_free; // those with priors of their own
  int<lower=1> M; // number of monotonic effects
  array[M] int<lower=2> D; // number of steps of each
  int<lower=2> n_steps; // of all
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
  vector[K_free] prior_beta_location;
  vector<lower=0>[K_free] prior_beta_scale;
  vector<lower=0>[n_steps] prior_steps_shape;
  vector<lower=0>[n_steps] prior_steps_rate;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K_free] beta_free;
  vector<lower=0>[n_steps] steps; // relative to each other
  vector[Q] tau_root; // determines tau by its absolute value
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[n_steps - M] beta_m; // of levels between the ends
  beta_m = departures(tail(beta_free, M),
    steps, D);
  vector[K] beta = append_row(beta_free, beta_m);
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  vector<lower=0>[Q] tau = tau_unit .* scale_from_root(tau_root);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  steps ~ gamma(prior_steps_shape, prior_steps_rate);
  tau ~ exponential(prior_tau_rate);
  sigma ~ exponential(prior_sigma_rate);
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
