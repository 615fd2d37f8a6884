// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + dot_product(scores[score_index[n]], loadings[loading_index[n]])
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   scores ~ normal(X_scores * beta_factors, 1)
//   loadings ~ normal(loading_scale * X_loadings * beta_factors, loading_scale)
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
functions {
  // deviations u of coefficients from their mean. With centeredness 1 they are
  // z_scale * z - mean (centered); with centeredness 0 they are tau * z
  // (noncentered), because z_scale is tau_pilot there
  matrix partly_centered(matrix z, matrix mean, vector tau,
                         matrix centeredness, matrix z_scale,
                         vector tau_pilot) {
    matrix[rows(z), cols(z)] u;
    for (q in 1 : cols(z)) {
      u[ : , q] = (z_scale[ : , q] .* z[ : , q]
                   - centeredness[ : , q] .* mean[ : , q])
                  .* exp(log(tau[q] / tau_pilot[q])
                         * (1 - centeredness[ : , q]));
    }
    return u;
  }
}
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
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  int<lower=1> R; // number of latent factors
  int<lower=R> J_scores; // number of rows of scores
  int<lower=R> J_loadings; // number of rows of loadings
  array[N] int<lower=1, upper=J_scores> score_index; // row of scores
  array[N] int<lower=1, upper=J_loadings> loading_index; // row of loadings
  int<lower=1> K_factors; // number of predictors of scores and loadings
  matrix[J_scores, K_factors] X_scores; // 0 in the columns of loadings
  matrix[J_loadings, K_factors] X_loadings; // 0 in the columns of scores
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_loading_scale_rate;
  vector[R * K_factors] prior_beta_factors_location;
  vector<lower=0>[R * K_factors] prior_beta_factors_scale;
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
  matrix[J, Q] z; // coefficients, partly centered
  vector[R * K_factors] beta_factors; // one factor after another
  matrix[J_scores, R] scores;
  cholesky_factor_cov[J_loadings, R] z_loadings; // loadings / loading_scale
  real<lower=0> loading_scale;
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  loading_scale ~ exponential(prior_loading_scale_rate);
  beta_factors ~ normal(prior_beta_factors_location,
                        prior_beta_factors_scale);
  sigma ~ exponential(prior_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  matrix[K_factors, R] B = to_matrix(beta_factors, K_factors, R);
  to_vector(scores - X_scores * B) ~ std_normal();
  // the distribution of independent normal loadings about their means after a
  // rotation, of scores and B as well, that makes them lower triangular
  to_vector(z_loadings - X_loadings * B) ~ std_normal();
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
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_loadings, R] loadings = loading_scale * z_loadings;
}
