// Complete pooling: one set of coefficients for every row.
//
//   y[n] is 0 with probability zi[n], and else
//   neg_binomial_2(exp(eta[n]), phi[n])
//   eta[n] = alpha + X[n] * beta
//   log(phi[n]) = alpha_phi + X_phi[n] * beta_phi
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
  // 0 with probability zi[n], else negative binomial with mean exp(eta[n])
  real zero_inflated_negative_binomial_log_lpmf(array[] int y, vector eta,
                                                vector phi, vector zi) {
    array[size(rows_where_zero(y, 1))] int zeros = rows_where_zero(y, 1);
    array[size(y) - size(zeros)] int others = rows_where_zero(y, 0);
    vector[size(zeros)] p = zi[zeros];
    vector[size(zeros)] k = phi[zeros];
    vector[size(zeros)] log_zero = -k .* log1p_exp(eta[zeros] - log(k));
    return sum(log(p + (1 - p) .* exp(log_zero))) + sum(log1m(zi[others]))
           + neg_binomial_2_log_lpmf(y[others] | eta[others], phi[others]);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_phi; // number of population predictors
  matrix[N, K_phi] X_phi; // population predictors
  vector[K_phi] x_bar_phi; // where the prior on the intercept applies
  int<lower=0> K_zi; // number of population predictors
  matrix[N, K_zi] X_zi; // population predictors
  vector[K_zi] x_bar_zi; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_phi_location;
  real<lower=0> prior_Intercept_phi_scale;
  vector[K_phi] prior_beta_phi_location;
  vector<lower=0>[K_phi] prior_beta_phi_scale;
  real prior_Intercept_zi_location;
  real<lower=0> prior_Intercept_zi_scale;
  vector[K_zi] prior_beta_zi_location;
  vector<lower=0>[K_zi] prior_beta_zi_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_phi] X_c_phi = X_phi - rep_matrix(x_bar_phi', N);
  matrix[N, K_zi] X_c_zi = X_zi - rep_matrix(x_bar_zi', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_phi; // alpha_phi at x_bar_phi
  vector[K_phi] beta_phi;
  real alpha_c_zi; // alpha_zi at x_bar_zi
  vector[K_zi] beta_zi;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_phi ~ normal(prior_Intercept_phi_location,
                       prior_Intercept_phi_scale);
  beta_phi ~ normal(prior_beta_phi_location, prior_beta_phi_scale);
  alpha_c_zi ~ normal(prior_Intercept_zi_location, prior_Intercept_zi_scale);
  beta_zi ~ normal(prior_beta_zi_location, prior_beta_zi_scale);
  if (prior_only == 0) {
    vector[N] eta_phi = alpha_c_phi + X_c_phi * beta_phi;
    vector[N] eta_zi = alpha_c_zi + X_c_zi * beta_zi;
    vector[N] phi = exp(eta_phi);
    vector[N] zi = inv_logit(eta_zi);
    vector[N] eta = alpha_c + X_c * beta;
    // from 1e8 on, counts are Poisson and lgamma() has no digits to spare
    vector[N] precision = fmin(phi, 1e8);
    y ~ zero_inflated_negative_binomial_log(eta, precision, zi);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_phi = alpha_c_phi - dot_product(x_bar_phi, beta_phi);
  real alpha_zi = alpha_c_zi - dot_product(x_bar_zi, beta_zi);
}
