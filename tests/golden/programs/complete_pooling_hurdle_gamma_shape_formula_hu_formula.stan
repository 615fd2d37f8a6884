// Complete pooling: one set of coefficients for every row.
//
//   y[n] is 0 with probability hu[n], and else
//   gamma(shape[n], shape[n] / exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//   log(shape[n]) = alpha_shape + X_shape[n] * beta_shape
//   logit(hu[n]) = alpha_hu + X_hu[n] * beta_hu
functions {
  // the rows whose outcome is 0, or with is_zero = 0 the others
  array[] int rows_where_zero(data vector y, int is_zero) {
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
  // 0 with probability hu[n], else gamma with mean exp(eta[n])
  real hurdle_gamma_log_lpdf(data vector y, vector eta, vector shape,
                             vector hu) {
    array[size(rows_where_zero(y, 0))] int above = rows_where_zero(y, 0);
    array[size(y) - size(above)] int zeros = rows_where_zero(y, 1);
    vector[size(above)] rate = shape[above] .* exp(-eta[above]);
    return sum(log(hu[zeros])) + sum(log1m(hu[above]))
           + gamma_lpdf(y[above] | shape[above], rate);
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0>[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_shape; // number of population predictors
  matrix[N, K_shape] X_shape; // population predictors
  vector[K_shape] x_bar_shape; // where the prior on the intercept applies
  int<lower=0> K_hu; // number of population predictors
  matrix[N, K_hu] X_hu; // population predictors
  vector[K_hu] x_bar_hu; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_shape_location;
  real<lower=0> prior_Intercept_shape_scale;
  vector[K_shape] prior_beta_shape_location;
  vector<lower=0>[K_shape] prior_beta_shape_scale;
  real prior_Intercept_hu_location;
  real<lower=0> prior_Intercept_hu_scale;
  vector[K_hu] prior_beta_hu_location;
  vector<lower=0>[K_hu] prior_beta_hu_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_shape] X_c_shape = X_shape - rep_matrix(x_bar_shape', N);
  matrix[N, K_hu] X_c_hu = X_hu - rep_matrix(x_bar_hu', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real alpha_c_shape; // alpha_shape at x_bar_shape
  vector[K_shape] beta_shape;
  real alpha_c_hu; // alpha_hu at x_bar_hu
  vector[K_hu] beta_hu;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_shape ~ normal(prior_Intercept_shape_location,
                         prior_Intercept_shape_scale);
  beta_shape ~ normal(prior_beta_shape_location, prior_beta_shape_scale);
  alpha_c_hu ~ normal(prior_Intercept_hu_location, prior_Intercept_hu_scale);
  beta_hu ~ normal(prior_beta_hu_location, prior_beta_hu_scale);
  if (prior_only == 0) {
    vector[N] eta_shape = alpha_c_shape + X_c_shape * beta_shape;
    vector[N] eta_hu = alpha_c_hu + X_c_hu * beta_hu;
    vector[N] shape = exp(eta_shape);
    vector[N] hu = inv_logit(eta_hu);
    vector[N] eta = alpha_c + X_c * beta;
    y ~ hurdle_gamma_log(eta, shape, hu);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_shape = alpha_c_shape - dot_product(x_bar_shape, beta_shape);
  real alpha_hu = alpha_c_hu - dot_product(x_bar_hu, beta_hu);
}
