// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//   beta_sigma = (beta_free_sigma, beta_s_sigma)
//   beta_s_sigma[k] ~ normal(0, tau_s_sigma[smooth_sigma[k]])
//   beta = (beta_free, beta_s)
//   beta_s[k] ~ normal(0, tau_s[smooth[k]])
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  int<lower=0, upper=K> K_free; // those without penalty
  int<lower=1> S; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K - K_free] int<lower=1, upper=S> smooth;
  // 1: centered, 0: noncentered
  vector<lower=0, upper=1>[K - K_free] centeredness_s;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  int<lower=0, upper=K_sigma> K_free_sigma; // those without penalty
  int<lower=1> S_sigma; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K_sigma - K_free_sigma] int<lower=1, upper=S_sigma> smooth_sigma;
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K_free] prior_beta_location;
  vector<lower=0>[K_free] prior_beta_scale;
  vector<lower=0>[S] prior_tau_s_rate;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_free_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_free_sigma] prior_beta_sigma_scale;
  vector<lower=0>[S_sigma] prior_tau_s_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K_free] beta_free;
  vector<lower=0>[S] tau_s; // scales of smooths
  vector[K - K_free] z_s; // partly centered
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_free_sigma] beta_free_sigma;
  vector<lower=0>[S_sigma] tau_s_sigma; // scales of smooths
  vector[K_sigma - K_free_sigma] z_s_sigma; // standardized
}
transformed parameters {
  vector[K - K_free] beta_s; // coefficients of smooths
  beta_s = z_s .* pow(tau_s[smooth], 1 - centeredness_s);
  vector[K] beta = append_row(beta_free, beta_s);
  vector[K_sigma - K_free_sigma] beta_s_sigma; // coefficients of smooths
  beta_s_sigma = z_s_sigma .* tau_s_sigma[smooth_sigma];
  vector[K_sigma] beta_sigma = append_row(beta_free_sigma, beta_s_sigma);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  tau_s ~ exponential(prior_tau_s_rate);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_free_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  tau_s_sigma ~ exponential(prior_tau_s_sigma_rate);
  z_s ~ normal(0, pow(tau_s[smooth], centeredness_s));
  z_s_sigma ~ std_normal();
  if (prior_only == 0) {
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    vector[N] sigma = exp(eta_sigma);
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
}
