// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//   standardized residuals of a subject's rows m and n have the correlation
//     residual_rho^(time between them)
functions {
  // mean and standard deviation of each standardized residual given those
  // before it in its subject, of which place[n] is the number: an
  // autoregression, whose correlation over a gap of time is rho^gap
  matrix residual_ar1(vector r, array[] int place, vector gap, real rho) {
    matrix[rows(r), 2] given;
    for (n in 1 : rows(r)) {
      given[n, 1] = 0;
      given[n, 2] = 1;
      if (place[n] > 0) {
        real pull = rho ^ gap[n];
        given[n, 1] = pull * r[n - 1];
        given[n, 2] = sqrt(1 - square(pull));
      }
    }
    return given;
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  // rows are in the order of subjects and, within these, of time
  array[N] int<lower=0> residual_place; // number of rows before in the subject
  vector<lower=0>[N] residual_gap; // time since the row before
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_sigma_rate;
  real lower_residual_rho; // bounds
  real upper_residual_rho;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=lower_residual_rho, upper=upper_residual_rho> residual_rho;
  real<lower=0> sigma; // residual scale
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    vector[N] r = (y - eta) / sigma; // standardized residuals
    matrix[N, 2] given = residual_ar1(r, residual_place, residual_gap,
                                      residual_rho);
    y ~ normal(eta + sigma * given[ : , 1], sigma * given[ : , 2]);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
