// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ ordered_logistic(eta[n], cutpoint)
//   eta[n] = X[n] * beta
//   beta = (beta_free, beta_s)
//   beta_s[k] ~ normal(0, tau_s[smooth[k]])
data {
  int<lower=1> N; // number of rows
  int<lower=2> C; // number of categories, which are ordered
  array[N] int<lower=1, upper=C> y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  int<lower=0, upper=K> K_free; // those without penalty
  int<lower=1> S; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K - K_free] int<lower=1, upper=S> smooth;
  // 1: centered, 0: noncentered
  vector<lower=0, upper=1>[K - K_free] centeredness_s;
  vector[K] x_bar; // the prior on the cutpoints applies at X = x_bar
  vector[K_free] prior_beta_location;
  vector<lower=0>[K_free] prior_beta_scale;
  vector<lower=0>[S] prior_tau_s_rate;
  vector<lower=0>[C - 1] prior_cutpoint_df;
  vector[C - 1] prior_cutpoint_location;
  vector<lower=0>[C - 1] prior_cutpoint_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  vector[K_free] beta_free;
  vector<lower=0>[S] tau_s; // scales of smooths
  vector[K - K_free] z_s; // partly centered
  ordered[C - 1] cutpoint_c; // cutpoints at X = x_bar
}
transformed parameters {
  vector[K - K_free] beta_s; // coefficients of smooths
  beta_s = z_s .* pow(tau_s[smooth], 1 - centeredness_s);
  vector[K] beta = append_row(beta_free, beta_s);
}
model {
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  tau_s ~ exponential(prior_tau_s_rate);
  cutpoint_c ~ student_t(prior_cutpoint_df, prior_cutpoint_location,
                         prior_cutpoint_scale);
  z_s ~ normal(0, pow(tau_s[smooth], centeredness_s));
  if (prior_only == 0) {
    y ~ ordered_logistic_glm(X_c, beta, cutpoint_c);
  }
}
generated quantities {
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
