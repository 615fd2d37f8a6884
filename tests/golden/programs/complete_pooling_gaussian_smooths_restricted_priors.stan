// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
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
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  // beta_free is constant but at these places
  int<lower=0> n_beta_free_estimated;
  array[n_beta_free_estimated] int at_beta_free_estimated;
  vector[K_free] beta_free_constant;
  int<lower=1> n_beta_normal;
  array[n_beta_normal] int<lower=1, upper=K_free> at_beta_normal;
  vector[n_beta_normal] prior_beta_normal_location;
  vector<lower=0>[n_beta_normal] prior_beta_normal_scale;
  vector<lower=0>[S] prior_tau_s_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[n_beta_free_estimated] beta_free_estimated;
  vector<lower=0>[S] tau_s; // scales of smooths
  vector[K - K_free] z_s; // partly centered
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[K_free] beta_free = beta_free_constant;
  beta_free[at_beta_free_estimated] = beta_free_estimated;
  vector[K - K_free] beta_s; // coefficients of smooths
  beta_s = z_s .* pow(tau_s[smooth], 1 - centeredness_s);
  vector[K] beta = append_row(beta_free, beta_s);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free[at_beta_normal] ~ normal(prior_beta_normal_location,
                                     prior_beta_normal_scale);
  tau_s ~ exponential(prior_tau_s_rate);
  sigma ~ exponential(prior_sigma_rate);
  z_s ~ normal(0, pow(tau_s[smooth], centeredness_s));
  if (prior_only == 0) {
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
