// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
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
  real N_zero; // rows of zeros, less those that fill up small groups
  real lower_Intercept; // uniform in between, or as stated below
  real upper_Intercept;
  vector[K] lower_beta; // uniform in between, or as stated below
  vector[K] upper_beta;
  vector[Q] lower_tau; // uniform in between, or as stated below
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
  int<lower=0, upper=1> prior_only; // 1: leave y out
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
