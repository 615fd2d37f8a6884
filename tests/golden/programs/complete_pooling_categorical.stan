// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ categorical(softmax(append_col(0, eta[n])'))
//   eta has a column for each category but the first, the reference
//   eta[n] = alpha + X[n] * beta
data {
  int<lower=1> N; // number of rows
  int<lower=2> C; // number of categories; the first is the reference
  array[N] int<lower=1, upper=C> y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  vector[C - 1] prior_Intercept_location;
  vector<lower=0>[C - 1] prior_Intercept_scale;
  vector[K * (C - 1)] prior_beta_location;
  vector<lower=0>[K * (C - 1)] prior_beta_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  row_vector[C - 1] alpha_c; // alpha at x_bar
  matrix[K, C - 1] beta;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  to_vector(beta) ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    y ~ categorical_logit_glm(X_c, append_row(0, alpha_c'),
                              append_col(zeros_vector(K), beta));
  }
}
generated quantities {
  row_vector[C - 1] alpha = alpha_c - x_bar' * beta; // intercept at X = 0
}
