// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   row n counts weights[n] times
//   b[j] = mu + (effects of U[j]) + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// u is integrated out, and drawn back after the fit. The rows come turned
// by an orthogonal matrix, which changes no sum of squares: of each group as
// many have Z as it has coefficients, F rows have X and y only, and the others
// are zero, so that their number says all. Groups with equal Z are turned, too.
functions {
  // log density of y[q][g] = X[q][g] * theta + Z[q][g] * u + noise, where
  // u ~ multi_normal(0, Sigma) is integrated out and noise has variance v[g]:
  // the covariance of y[q][g] and y[r][g] is S[q, r][g] = Z[q][g] * Sigma *
  // Z[r][g]', and v[g] more if q = r. The steps of Cholesky's factorisation are
  // taken for all g at the same time; g stands for count[g] groups
  real marginal_normal_id_glm_lpdf(array[] vector y, array[] matrix X,
                                   vector theta, array[] matrix Z,
                                   matrix Sigma, vector v, vector count) {
    int G = num_elements(v);
    int Q = size(y);
    array[Q] vector[G] e;
    array[Q, Q] vector[G] S;
    real lp = 0;
    for (q in 1 : Q) {
      e[q] = y[q] - X[q] * theta;
      for (r in 1 : q) {
        S[q, r] = rows_dot_product(Z[q] * Sigma, Z[r]);
      }
      S[q, q] += v;
    }
    for (q in 1 : Q) {
      lp -= 0.5 * dot_product(count, log(S[q, q]));
      lp -= 0.5 * dot_product(e[q], e[q] ./ S[q, q]);
      for (r in (q + 1) : Q) {
        vector[G] l = S[r, q] ./ S[q, q];
        e[r] -= l .* e[q];
        for (s in r : Q) {
          S[s, r] -= l .* S[s, q];
        }
      }
    }
    return lp;
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
  int<lower=1> G; // groups that are left
  int<lower=1> Q; // varying coefficients
  int<lower=0> D; // columns of X: intercept, predictors
  array[Q] vector[G] y; // outcome
  array[Q] matrix[G, D] X;
  array[Q] matrix[G, Q] Z;
  vector[G] count; // how many groups each stands for
  int<lower=0> F; // rows without Z
  vector[F] y_rest;
  matrix[F, D] X_rest;
  vector<lower=0>[Q] tau_unit; // smaller ones are alike to the rows
  real N_zero; // rows of zeros, less those that fill up small groups
  vector[K] beta_pilot; // where it is sought, and in which units: nothing
  vector<lower=0>[K] beta_unit; // that the model says depends on them
  real log_sigma_pilot;
  real<lower=0> log_sigma_unit;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
parameters {
  real alpha_c; // alpha at x_bar
  vector<offset=beta_pilot, multiplier=beta_unit>[K] beta;
  vector[Q] tau_root; // of tau, whose signs mean nothing: 0 is no wall
  cholesky_factor_corr[Q] L_Omega;
  real<offset=log_sigma_pilot, multiplier=log_sigma_unit> log_sigma;
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  vector<lower=0>[Q] tau = tau_unit .* scale_of_root(tau_root);
  real<lower=0> sigma = exp(log_sigma); // residual scale
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ exponential(prior_sigma_rate);
  target += log_slope_of_scale(tau_root); // the prior is that of tau
  target += log_sigma; // so that the prior is that of sigma
  if (prior_only == 0) {
    vector[D] theta = append_row(alpha_c - y_bar, beta);
    matrix[Q, Q] Sigma = tcrossprod(diag_pre_multiply(tau, L_Omega));
    y ~ marginal_normal_id_glm(X, theta, Z, Sigma,
                               rep_vector(square(sigma), G), count);
    y_rest ~ normal_id_glm(X_rest, 0, theta, sigma);
    target += -N_zero * log(sigma);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
}
