// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ gamma(shape, shape / exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
functions {
  // where to_vector(u), u of J rows, has the Q coefficients of a row's group,
  // after so many numbers of other factors
  array[,] int places(array[] int group, int J, int Q, int after) {
    array[Q, size(group)] int place;
    for (q in 1 : Q) {
      for (n in 1 : size(group)) {
        place[q, n] = after + (q - 1) * J + group[n];
      }
    }
    return place;
  }
  // log density of y[n] ~ gamma(shape, shape / exp(eta[n])), eta[n] = alpha
  // + X[n] * beta + sum over r of W[n, r] * u[place[r, n]]
  real grouped_gamma_log_glm_lpdf(vector y, real shape, matrix X, real alpha,
                                  vector beta, matrix W, array[,] int place,
                                  vector u) {
    vector[size(y)] eta = alpha + X * beta;
    for (r in 1 : cols(W)) {
      eta += W[ : , r] .* u[place[r]];
    }
    return gamma_lupdf(y | shape, shape * exp(-eta));
  }
}
data {
  int<lower=1> N; // rows
  vector<lower=0>[N] y; // outcome
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 2> mean_of; // mu in (0, alpha, beta)
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  real<lower=0> prior_shape_shape;
  real<lower=0> prior_shape_scale;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  array[Q, N] int place = places(group, J, Q, 0);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // standardised deviations of b
  real<lower=0> shape; // variance is mean^2 / shape
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
}
model {
  matrix[J, Q] u = z * diag_pre_multiply(tau, L_Omega)'; // deviations
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  shape ~ inv_gamma(prior_shape_shape, prior_shape_scale);
  to_vector(z) ~ std_normal(); // so that u is distributed as above
  if (prior_only == 0) {
    y ~ grouped_gamma_log_glm(shape, X_c, alpha_c, beta, Z, place,
                              to_vector(u));
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
}
