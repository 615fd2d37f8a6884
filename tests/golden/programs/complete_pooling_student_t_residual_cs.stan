// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ student_t(nu, eta[n], sigma)
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
  // how much wider a Student-t residual is than a normal one, given those
  // before it in its subject; z are residuals with the means and standard
  // deviations that normal ones would have
  vector wider_given_earlier(vector z, array[] int place, real nu) {
    vector[rows(z)] wider;
    real squares = 0;
    for (n in 1 : rows(z)) {
      if (place[n] == 0) {
        squares = 0;
      }
      wider[n] = sqrt((nu + squares) / (nu + place[n]));
      squares += square(z[n]);
    }
    return wider;
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
  real lower_residual_rho; // bounds
  real upper_residual_rho;
  real<lower=0> prior_nu_shape;
  real<lower=0> prior_nu_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=lower_residual_rho, upper=upper_residual_rho> residual_rho;
  real<lower=1> nu; // degrees of freedom
  real<lower=0> sigma; // residual scale
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  nu ~ gamma(prior_nu_shape, prior_nu_rate);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    vector[N] r = (y - eta) / sigma; // standardized residuals
    matrix[N, 2] given = residual_cs(r, residual_place, residual_rho);
    vector[N] wider = wider_given_earlier((r - given[ : , 1]) ./ given[ : , 2],
                                          residual_place, nu);
    y ~ student_t(nu + to_vector(residual_place),
                  eta + sigma * given[ : , 1],
                  sigma * given[ : , 2] .* wider);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
