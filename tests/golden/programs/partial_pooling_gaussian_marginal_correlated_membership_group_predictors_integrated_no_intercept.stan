// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = X[n] * beta
//            + sum over m of weight[n, m] * Z[n] * u[group[n, m]]
//            + Z_2[n] * u_2[group_2[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//   b_2[j] = mu_2 + (effects of U_2[j]) + u_2[j]
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
}
data {
  int<lower=0> K; // population predictors
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[Q] int<lower=1, upper=K + 1> mean_of; // mu in (0, beta)
  int<lower=1> G; // groups that are left
  int<lower=1> Q_2; // varying coefficients
  int<lower=0> D; // columns of X: predictors, other factors
  array[Q_2] vector[G] y; // outcome
  array[Q_2] matrix[G, D] X;
  array[Q_2] matrix[G, Q_2] Z;
  vector[G] count; // how many groups each stands for
  int<lower=0> F; // rows without Z
  vector[F] y_rest;
  matrix[F, D] X_rest;
  vector<lower=0>[Q_2] tau_unit_2; // smaller ones are alike to the rows
  real N_zero; // rows of zeros, less those that fill up small groups
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // standardised deviations of b
  vector[Q_2] tau_root_2; // of tau_2, whose signs mean nothing: 0 is no wall
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector<lower=0>[Q_2] tau_2 = tau_unit_2 .* scale_of_root(tau_root_2);
  row_vector[Q] mu = append_row(0, beta)[mean_of]'; // means
}
model {
  matrix[J, Q] u = z * diag_pre_multiply(tau, L_Omega)'; // deviations
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ exponential(prior_sigma_rate);
  to_vector(z) ~ std_normal(); // so that u is distributed as above
  target += log_slope_of_scale(tau_root_2); // the prior is that of tau_2
  if (prior_only == 0) {
    vector[D] theta = append_row(beta, to_vector(u'));
    matrix[Q_2, Q_2] Sigma = diag_matrix(square(tau_2));
    y ~ marginal_normal_id_glm(X, theta, Z, Sigma,
                               rep_vector(square(sigma), G), count);
    y_rest ~ normal_id_glm(X_rest, 0, theta, sigma);
    target += -N_zero * log(sigma);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
}
