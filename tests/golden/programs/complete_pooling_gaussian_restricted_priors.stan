// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real alpha_c_constant;
  vector[K] lower_beta; // bounds
  vector[K] upper_beta;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real sigma_constant;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  vector<lower=lower_beta, upper=upper_beta>[K] beta;
}
transformed parameters {
  real alpha_c = alpha_c_constant;
  real sigma = sigma_constant;
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
