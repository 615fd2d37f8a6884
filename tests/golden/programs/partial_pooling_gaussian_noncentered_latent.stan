// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + dot_product(scores[score_index[n]], loadings[loading_index[n]])
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  int<lower=1> R; // number of latent factors
  int<lower=R> J_scores; // number of rows of scores
  int<lower=R> J_loadings; // number of rows of loadings
  array[N] int<lower=1, upper=J_scores> score_index; // row of scores
  array[N] int<lower=1, upper=J_loadings> loading_index; // row of loadings
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_loading_scale_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // standardized deviations of b
  matrix[J_scores, R] scores;
  cholesky_factor_cov[J_loadings, R] z_loadings; // loadings / loading_scale
  real<lower=0> loading_scale;
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = diag_post_multiply(z, tau);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  loading_scale ~ exponential(prior_loading_scale_rate);
  sigma ~ exponential(prior_sigma_rate);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  to_vector(scores) ~ std_normal();
  // the distribution of independent normal(0, loading_scale) loadings after a
  // rotation that makes them lower triangular
  to_vector(z_loadings) ~ std_normal();
  for (r in 1 : R) {
    target += (R - r) * log(z_loadings[r, r]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] product = rows_dot_product(scores[score_index],
                                         z_loadings[loading_index]);
    group_effect += loading_scale * product;
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, sigma);
  }
}
generated quantities {
  matrix[J, Q] b = diag_post_multiply(z, tau);
  b += rep_matrix(mu, J);
  matrix[J_loadings, R] loadings = loading_scale * z_loadings;
}
