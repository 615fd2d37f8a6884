// Complete pooling: one set of coefficients for every row.
//
//   y[n] is 0 with probability hu[n], and else
//   neg_binomial_2(exp(eta[n]), phi[n]), truncated to counts above 0
//   eta[n] = alpha + X[n] * beta
//   log(phi[n]) = alpha_phi + X_phi[n] * beta_phi
//   logit(hu[n]) = alpha_hu + X_hu[n] * beta_hu
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
  // 0 with probability hu[n], else a positive negative binomial count
  real hurdle_negative_binomial_log_lpmf(array[] int y, vector eta,
                                         vector phi, vector hu) {
    array[size(rows_where_zero(y, 1))] int zeros = rows_where_zero(y, 1);
    array[size(y) - size(zeros)] int others = rows_where_zero(y, 0);
    vector[size(others)] k = phi[others];
    vector[size(others)] log_zero = -k .* log1p_exp(eta[others] - log(k));
    return sum(log(hu[zeros])) + sum(log1m(hu[others]))
           + neg_binomial_2_log_lpmf(y[others] | eta[others], k)
           - sum(log1m_exp(log_zero));
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
  int<lower=0> K_hu; // number of population predictors
  matrix[N, K_hu] X_hu; // population predictors
  vector[K_hu] x_bar_hu; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_phi_location;
  real<lower=0> prior_Intercept_phi_scale;
  vector[K_phi] prior_beta_phi_location;
  vector<lower=0>[K_phi] prior_beta_phi_scale;
  real prior_Intercept_hu_location;
  real<lower=0> prior_Intercept_hu_scale;
  vector[K_hu] prior_beta_hu_location;
  vector<lower=0>[K_hu] prior_beta_hu_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_phi] X_c_phi = X_phi - rep_matrix(x_bar_phi', N);
  matrix[N, K_hu] X_c_hu = X_hu - rep_matrix(x_bar_hu', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_phi; // alpha_phi at x_bar_phi
  vector[K_phi] beta_phi;
  real alpha_c_hu; // alpha_hu at x_bar_hu
  vector[K_hu] beta_hu;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_phi ~ normal(prior_Intercept_phi_location,
                       prior_Intercept_phi_scale);
  beta_phi ~ normal(prior_beta_phi_location, prior_beta_phi_scale);
  alpha_c_hu ~ normal(prior_Intercept_hu_location, prior_Intercept_hu_scale);
  beta_hu ~ normal(prior_beta_hu_location, prior_beta_hu_scale);
  if (prior_only == 0) {
    vector[N] eta_phi = alpha_c_phi + X_c_phi * beta_phi;
    vector[N] eta_hu = alpha_c_hu + X_c_hu * beta_hu;
    vector[N] phi = exp(eta_phi);
    vector[N] hu = inv_logit(eta_hu);
    vector[N] eta = alpha_c + X_c * beta;
    // from 1e8 on, counts are Poisson and lgamma() has no digits to spare
    vector[N] precision = fmin(phi, 1e8);
    y ~ hurdle_negative_binomial_log(eta, precision, hu);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_phi = alpha_c_phi - dot_product(x_bar_phi, beta_phi);
  real alpha_hu = alpha_c_hu - dot_product(x_bar_hu, beta_hu);
}
