// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// Groups whose own data say much are centered, others are not, and many are in
// between: w says how far, for each group and coefficient.
functions {
  // log density of the rows of u, each multi_normal(0, L * L')
  real multi_normal_rows_lpdf(matrix u, matrix L) {
    return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u')))
           - rows(u) * sum(log(diagonal(L)));
  }
  // deviations: unit * z - mean if w = 1 (centered), tau * z if w = 0, where
  // unit is tau_pilot (noncentered)
  matrix partly_centered(matrix z, matrix mean, vector tau, matrix w,
                         matrix unit, vector tau_pilot) {
    matrix[rows(z), cols(z)] u;
    for (q in 1 : cols(z)) {
      u[ : , q] = (unit[ : , q] .* z[ : , q] - w[ : , q] .* mean[ : , q])
                  .* exp(log(tau[q] / tau_pilot[q]) * (1 - w[ : , q]));
    }
    return u;
  }
  // the same, after the z of groups that are apart are correlated by L_Omega
  matrix partly_centered(matrix z, matrix mean, vector tau, matrix L_Omega,
                         matrix w, matrix unit, vector tau_pilot,
                         vector apart) {
    matrix[rows(z), cols(z)] correlated = z * add_diag(L_Omega, -1)';
    return partly_centered(z + diag_pre_multiply(apart, correlated), mean,
                           tau, w, unit, tau_pilot);
  }
}
data {
  int<lower=1> N; // rows that are left, turned by an orthogonal matrix
  vector[N] y; // outcome
  real y_bar; // was taken from the outcome
  real N_zero; // rows that turning has emptied
  int<lower=0> K; // population predictors
  int<lower=0> D; // columns of X: intercept, predictors
  matrix[N, D] X;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 2> mean_of; // mu in (0, alpha, beta)
  matrix<lower=0, upper=1>[J, Q] w; // 1: centered, 0: not
  matrix<lower=0>[J, Q] unit; // of z
  vector<lower=0>[Q] tau_pilot; // a guess of tau
  vector<lower=0, upper=1>[J] apart; // 1: z is uncorrelated
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
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // b / unit where w = 1
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_of]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, L_Omega, w, unit, tau_pilot,
                                   apart);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  sigma ~ exponential(prior_sigma_rate);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  target += sum((1 - w) * log(tau)); // z is stretched into u
  target += sum(apart) * sum(log(diagonal(L_Omega)));
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[D] theta = append_row(alpha_c - y_bar, beta);
    y ~ normal_id_glm(X, group_effect, theta, sigma);
    target += -N_zero * log(sigma);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, L_Omega, w, unit, tau_pilot, apart);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
