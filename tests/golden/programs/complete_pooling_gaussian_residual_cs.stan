// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//   standardized residuals of a subject's rows m and n have the correlation
//     residual_rho
functions {
  // mean and standard deviation of each standardized residual given those
  // before it in its subject, of which place[n] is the number: any two of a
  // subject have the correlation rho
  matrix residual_cs(vector r, array[] int place, real rho) {
    matrix[rows(r), 2] given;
    real total = 0;
    for (n in 1 : rows(r)) {
      real pull = rho / (1 + (place[n] - 1) * rho);
      if (place[n] == 0) {
        total = 0;
      }
      given[n, 1] = pull * total;
      given[n, 2] = sqrt(1 - place[n] * rho * pull);
      total += r[n];
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
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_sigma_rate;
  real residual_rho_constant;
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
transformed parameters {
  real residual_rho = residual_rho_constant;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    vector[N] r = (y - eta) / sigma; // standardized residuals
    matrix[N, 2] given = residual_cs(r, residual_place, residual_rho);
    y ~ normal(eta + sigma * given[ : , 1], sigma * given[ : , 2]);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
