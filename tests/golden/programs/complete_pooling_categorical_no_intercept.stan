// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
//   eta has a column for each category but the first, the reference
//   eta[n] = X[n] * beta
data {
  int<lower=1> N; // number of rows
  int<lower=2> C; // number of categories; the first is the reference
  array[N] int<lower=1, upper=C> y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K * (C - 1)] prior_beta_location;
  vector<lower=0>[K * (C - 1)] prior_beta_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X;
}
parameters {
  matrix[K, C - 1] beta;
}
model {
  to_vector(beta) ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    y ~ categorical_logit_glm(X_c, zeros_vector(C),
                              append_col(zeros_vector(K), beta));
  }
}
