// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ normal(eta[n], sigma_j[group_sigma[n]])
//   sigma_j[j] ~ lognormal(log(sigma), tau_sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + Z_2[n] * u_2[group_2[n]]
//   b[j] = mu + (effects of U[j]) + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
//
// u_2 is integrated out, and drawn back after the fit. The rows come turned
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
  int<lower=0> K; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real y_bar; // was taken from the outcome
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[Q] int<lower=1, upper=K + 2> mean_of; // mu in (0, alpha, beta)
  int<lower=1> P; // group-level predictors
  matrix[J, P] U;
  array[P, Q] int<lower=1, upper=K + 2> effect_of; // and their effects
  int<lower=1> G; // groups that are left
  int<lower=1> Q_2; // varying coefficients
  int<lower=0> D; // columns of X: intercept, predictors, other factors
  array[Q_2] vector[G] y; // outcome
  array[Q_2] matrix[G, D] X;
  array[Q_2] matrix[G, Q_2] Z;
  vector[G] count; // how many groups each stands for
  int<lower=0> F; // rows without Z
  vector[F] y_rest;
  matrix[F, D] X_rest;
  vector<lower=0>[Q_2] tau_unit_2; // smaller ones are alike to the rows
  int<lower=1> J_sigma; // groups with residual scales of their own
  array[G] int<lower=1, upper=J_sigma> group_sigma;
  array[F] int<lower=1, upper=J_sigma> rest_sigma;
  vector[J_sigma] N_zero; // rows of zeros, less those that fill up small groups
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_rate;
  real<lower=0> prior_tau_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // standardised deviations of b
  vector[Q_2] tau_root_2; // of tau_2, whose signs mean nothing: 0 is no wall
  real<lower=0> sigma; // residual scale
  real<lower=0> tau_sigma; // spread of the log residual scales
  vector[J_sigma] z_sigma; // their standardised deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  vector<lower=0>[Q_2] tau_2 = tau_unit_2 .* scale_of_root(tau_root_2);
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
  vector<lower=0>[J_sigma] sigma_j = sigma * exp(tau_sigma * z_sigma);
}
model {
  matrix[J, Q] u = z * diag_pre_multiply(tau, L_Omega)'; // deviations
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ exponential(prior_sigma_rate);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  to_vector(z) ~ std_normal(); // so that u is distributed as above
  target += log_slope_of_scale(tau_root_2); // the prior is that of tau_2
  z_sigma ~ std_normal(); // so that sigma_j is distributed as above
  if (prior_only == 0) {
    vector[D] theta = append_row(append_row(alpha_c - y_bar, beta),
                                 to_vector(u'));
    matrix[Q_2, Q_2] Sigma = diag_matrix(square(tau_2));
    y ~ marginal_normal_id_glm(X, theta, Z, Sigma,
                               square(sigma_j[group_sigma]), count);
    y_rest ~ normal_id_glm(X_rest, 0, theta, sigma_j[rest_sigma]);
    target += -dot_product(N_zero, log(sigma_j));
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
  b += group_level(U, effect_of, append_row([0, alpha]', beta));
}
