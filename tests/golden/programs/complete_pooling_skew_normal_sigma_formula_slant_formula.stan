// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ skew_normal with the mean eta[n], the standard deviation
//   sigma[n] and the slant slant[n]
//   eta[n] = alpha + X[n] * beta
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//   slant[n] = alpha_slant + X_slant[n] * beta_slant
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  int<lower=0> K_slant; // number of population predictors
  matrix[N, K_slant] X_slant; // population predictors
  vector[K_slant] x_bar_slant; // where the prior on the intercept applies
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_sigma] prior_beta_sigma_scale;
  real prior_Intercept_slant_location;
  real<lower=0> prior_Intercept_slant_scale;
  vector[K_slant] prior_beta_slant_location;
  vector<lower=0>[K_slant] prior_beta_slant_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
  matrix[N, K_slant] X_c_slant = X_slant - rep_matrix(x_bar_slant', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_sigma] beta_sigma;
  real alpha_c_slant; // alpha_slant at x_bar_slant
  vector[K_slant] beta_slant;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  alpha_c_slant ~ normal(prior_Intercept_slant_location,
                         prior_Intercept_slant_scale);
  beta_slant ~ normal(prior_beta_slant_location, prior_beta_slant_scale);
  if (prior_only == 0) {
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    vector[N] eta_slant = alpha_c_slant + X_c_slant * beta_slant;
    vector[N] sigma = exp(eta_sigma);
    vector[N] slant = eta_slant;
    vector[N] eta = alpha_c + X_c * beta;
    // the mean of a standard skew normal variable, and one over its deviation
    vector[N] skewed = sqrt(2 / pi()) * slant ./ sqrt(1 + square(slant));
    vector[N] widened = inv_sqrt(1 - square(skewed));
    y ~ skew_normal(eta - skewed .* widened .* sigma, widened .* sigma,
                    slant);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
  real alpha_slant = alpha_c_slant - dot_product(x_bar_slant, beta_slant);
}
