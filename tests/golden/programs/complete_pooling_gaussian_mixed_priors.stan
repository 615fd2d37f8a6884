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
  real<lower=0> prior_Intercept_df;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  int<lower=1> n_beta_normal;
  array[n_beta_normal] int<lower=1, upper=K> at_beta_normal;
  vector[n_beta_normal] prior_beta_normal_location;
  vector<lower=0>[n_beta_normal] prior_beta_normal_scale;
  int<lower=1> n_beta_student_t;
  array[n_beta_student_t] int<lower=1, upper=K> at_beta_student_t;
  vector<lower=0>[n_beta_student_t] prior_beta_student_t_df;
  vector[n_beta_student_t] prior_beta_student_t_location;
  vector<lower=0>[n_beta_student_t] prior_beta_student_t_scale;
  int<lower=1> n_beta_cauchy;
  array[n_beta_cauchy] int<lower=1, upper=K> at_beta_cauchy;
  vector[n_beta_cauchy] prior_beta_cauchy_location;
  vector<lower=0>[n_beta_cauchy] prior_beta_cauchy_scale;
  real<lower=0> prior_sigma_shape;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> sigma; // residual scale
}
model {
  alpha_c ~ student_t(prior_Intercept_df, prior_Intercept_location,
                      prior_Intercept_scale);
  beta[at_beta_normal] ~ normal(prior_beta_normal_location,
                                prior_beta_normal_scale);
  beta[at_beta_student_t] ~ student_t(prior_beta_student_t_df,
                                      prior_beta_student_t_location,
                                      prior_beta_student_t_scale);
  beta[at_beta_cauchy] ~ cauchy(prior_beta_cauchy_location,
                                prior_beta_cauchy_scale);
  sigma ~ gamma(prior_sigma_shape, prior_sigma_rate);
  if (prior_only == 0) {
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
