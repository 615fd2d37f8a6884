// Partial pooling, marginal: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   beta = (beta_free, beta_s)
//   beta_s[k] ~ normal(0, exp(log_sd_s[k]))
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// u is integrated out of the likelihood, and drawn after sampling.
// The rows are reduced by QR decompositions, which keep all sums of squares.
// There remain Q rows of each group, N_rest rows in which Z is 0, and rows of
// zeros, which enter by their number alone. Groups with equal Z are merged.
functions {
  /* Logarithms of the standard deviations of the coefficients of Gaussian
     processes whose amplitudes are 1: square roots of spectral densities at
     the frequencies of each coefficient, along the predictor of each length
     scale and 0 along others (Solin and Sarkka 2020).
     nu: the smoothness of Matern covariance functions, 0 for exponentiated
     quadratic ones.
     log_density_0: what it is at frequencies of 0 with length scales of 1. */
  vector log_spectral_sd(vector lengthscale, matrix frequency, vector nu,
                         vector log_density_0) {
    vector[rows(frequency)] r2 = square(frequency) * square(lengthscale);
    vector[rows(frequency)] log_density = log_density_0;
    vector[rows(lengthscale)] log_lengthscale = log(lengthscale);
    for (m in 1 : rows(frequency)) {
      int D = 0; // number of predictors
      for (l in 1 : cols(frequency)) {
        if (frequency[m, l] > 0) {
          log_density[m] += log_lengthscale[l];
          D += 1;
        }
      }
      if (nu[m] > 0) {
        log_density[m] -= (nu[m] + 0.5 * D) * log1p(0.5 * r2[m] / nu[m]);
      } else {
        log_density[m] -= 0.5 * r2[m];
      }
    }
    return 0.5 * log_density;
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
  int<lower=0, upper=K> K_free; // those without penalty
  int<lower=1> S; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K - K_free] int<lower=1, upper=S> smooth;
  int<lower=1> L; // number of length scales of Gaussian processes
  // of coefficients: frequencies, the smoothness of Matern covariance functions
  // (0: exponentiated quadratic), and logarithms of spectral densities at 0
  matrix<lower=0>[K - K_free, L] frequency;
  vector<lower=0>[K - K_free] nu_s;
  vector[K - K_free] log_density_0;
  // 1: centered, 0: noncentered
  vector<lower=0, upper=1>[K - K_free] centeredness_s;
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
  vector<lower=0>[S] prior_tau_s_rate;
  vector<lower=0>[L] prior_lengthscale_shape;
  vector<lower=0>[L] prior_lengthscale_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K_free] beta_free;
  vector<lower=0>[S] tau_s; // scales of smooths
  vector<lower=0>[L] lengthscale;
  vector[K - K_free] z_s; // partly centered
  vector[Q] tau_root; // determines tau by its absolute value
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  // logarithms of the standard deviations of beta_s
  vector[K - K_free] log_sd_s;
  log_sd_s = log_spectral_sd(lengthscale, frequency,
    nu_s, log_density_0);
  log_sd_s += log(tau_s[smooth]);
  vector[K - K_free] beta_s; // coefficients of smooths
  beta_s = z_s .* exp((1 - centeredness_s) .* log_sd_s);
  vector[K] beta = append_row(beta_free, beta_s);
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  vector<lower=0>[Q] tau = tau_unit .* scale_from_root(tau_root);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  tau_s ~ exponential(prior_tau_s_rate);
  lengthscale ~ inv_gamma(prior_lengthscale_shape, prior_lengthscale_scale);
  tau ~ exponential(prior_tau_rate);
  sigma ~ exponential(prior_sigma_rate);
  z_s ~ normal(0, exp(centeredness_s .* log_sd_s));
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
