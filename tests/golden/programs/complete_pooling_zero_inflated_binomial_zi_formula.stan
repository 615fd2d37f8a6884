// Complete pooling: one set of coefficients for every row.
//
//   y[n] is 0 with probability zi[n], and else
//   binomial(trials[n], inv_logit(eta[n]))
//   eta[n] = alpha + X[n] * beta
//   logit(zi[n]) = alpha_zi + X_zi[n] * beta_zi
functions {
  // the rows whose count is 0, or with is_zero = 0 the others
  array[] int rows_where_zero(array[] int y, int is_zero) {
    array[size(y)] int places;
    int found = 0;
    for (n in 1 : size(y)) {
      if ((y[n] == 0) == is_zero) {
        found += 1;
        places[found] = n;
      }
    }
    return places[1 : found];
  }
  // 0 with probability zi[n], else binomial with probability inv_logit(eta[n])
  real zero_inflated_binomial_logit_lpmf(array[] int y, array[] int trials,
                                         vector eta, vector zi) {
    array[size(rows_where_zero(y, 1))] int zeros = rows_where_zero(y, 1);
    array[size(y) - size(zeros)] int others = rows_where_zero(y, 0);
    vector[size(zeros)] p = zi[zeros];
    vector[size(zeros)] log_zero = -to_vector(trials[zeros])
                                   .* log1p_exp(eta[zeros]);
    return sum(log(p + (1 - p) .* exp(log_zero))) + sum(log1m(zi[others]))
           + binomial_logit_lpmf(y[others] | trials[others], eta[others]);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> trials; // number of trials
  array[N] int<lower=0> y; // number of successes
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_zi; // number of population predictors
  matrix[N, K_zi] X_zi; // population predictors
  vector[K_zi] x_bar_zi; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_zi_location;
  real<lower=0> prior_Intercept_zi_scale;
  vector[K_zi] prior_beta_zi_location;
  vector<lower=0>[K_zi] prior_beta_zi_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_zi] X_c_zi = X_zi - rep_matrix(x_bar_zi', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_zi; // alpha_zi at x_bar_zi
  vector[K_zi] beta_zi;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_zi ~ normal(prior_Intercept_zi_location, prior_Intercept_zi_scale);
  beta_zi ~ normal(prior_beta_zi_location, prior_beta_zi_scale);
  if (prior_only == 0) {
    vector[N] eta_zi = alpha_c_zi + X_c_zi * beta_zi;
    vector[N] zi = inv_logit(eta_zi);
    vector[N] eta = alpha_c + X_c * beta;
    y ~ zero_inflated_binomial_logit(trials, eta, zi);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_zi = alpha_c_zi - dot_product(x_bar_zi, beta_zi);
}
