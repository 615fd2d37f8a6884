// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//   beta_sigma = (beta_free_sigma, beta_s_sigma)
//   beta_s_sigma[k] ~ normal(0, exp(log_sd_s_sigma[k]))
functions {
  /* Logarithms of the standard deviations of the coefficients of Gaussian
     processes whose amplitudes are 1: square roots of spectral densities at
     the frequencies of each coefficient, along the predictor of each length
     scale and 0 along others (Solin and Sarkka 2020).
     nu: the smoothness of Matern covariance functions, 0 for exponentiated
     quadratic ones.
     log_density_0: what it is at frequencies of 0 with length scales of 1. */
  vector log_spectral_sd(vector lengthscale, matrix frequency, vector nu,
                         vector log_density_0) {
    vector[rows(frequency)] r2 = square(frequency) * square(lengthscale);
    vector[rows(frequency)] log_density = log_density_0;
    vector[rows(lengthscale)] log_lengthscale = log(lengthscale);
    for (m in 1 : rows(frequency)) {
      int D = 0; // number of predictors
      for (l in 1 : cols(frequency)) {
        if (frequency[m, l] > 0) {
          log_density[m] += log_lengthscale[l];
          D += 1;
        }
      }
      if (nu[m] > 0) {
        log_density[m] -= (nu[m] + 0.5 * D) * log1p(0.5 * r2[m] / nu[m]);
      } else {
        log_density[m] -= 0.5 * r2[m];
      }
    }
    return 0.5 * log_density;
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  int<lower=0, upper=K_sigma> K_free_sigma; // those without penalty
  int<lower=1> S_sigma; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K_sigma - K_free_sigma] int<lower=1, upper=S_sigma> smooth_sigma;
  int<lower=1> L_sigma; // number of length scales of Gaussian processes
  // of coefficients: frequencies, the smoothness of Matern covariance functions
  // (0: exponentiated quadratic), and logarithms of spectral densities at 0
  matrix<lower=0>[K_sigma - K_free_sigma, L_sigma] frequency_sigma;
  vector<lower=0>[K_sigma - K_free_sigma] nu_s_sigma;
  vector[K_sigma - K_free_sigma] log_density_0_sigma;
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_free_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_free_sigma] prior_beta_sigma_scale;
  vector<lower=0>[S_sigma] prior_tau_s_sigma_rate;
  vector<lower=0>[L_sigma] prior_lengthscale_sigma_shape;
  vector<lower=0>[L_sigma] prior_lengthscale_sigma_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_free_sigma] beta_free_sigma;
  vector<lower=0>[S_sigma] tau_s_sigma; // scales of smooths
  vector<lower=0>[L_sigma] lengthscale_sigma;
  vector[K_sigma - K_free_sigma] z_s_sigma; // standardized
}
transformed parameters {
  // logarithms of the standard deviations of beta_s_sigma
  vector[K_sigma - K_free_sigma] log_sd_s_sigma;
  log_sd_s_sigma = log_spectral_sd(lengthscale_sigma, frequency_sigma,
    nu_s_sigma, log_density_0_sigma);
  log_sd_s_sigma += log(tau_s_sigma[smooth_sigma]);
  vector[K_sigma - K_free_sigma] beta_s_sigma; // coefficients of smooths
  beta_s_sigma = z_s_sigma .* exp(log_sd_s_sigma);
  vector[K_sigma] beta_sigma = append_row(beta_free_sigma, beta_s_sigma);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_free_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  tau_s_sigma ~ exponential(prior_tau_s_sigma_rate);
  lengthscale_sigma ~ inv_gamma(prior_lengthscale_sigma_shape,
                                prior_lengthscale_sigma_scale);
  z_s_sigma ~ std_normal();
  if (prior_only == 0) {
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    vector[N] sigma = exp(eta_sigma);
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
}
