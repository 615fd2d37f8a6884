// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//   beta = (beta_free, beta_s)
//   beta_s[k] ~ normal(0, exp(log_sd_s[k]))
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
  int<lower=0, upper=K> K_free; // those without penalty
  int<lower=1> S; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K - K_free] int<lower=1, upper=S> smooth;
  int<lower=1> L; // number of length scales of Gaussian processes
  // of coefficients: frequencies, the smoothness of Matern covariance functions
  // (0: exponentiated quadratic), and logarithms of spectral densities at 0
  matrix<lower=0>[K - K_free, L] frequency;
  vector<lower=0>[K - K_free] nu_s;
  vector[K - K_free] log_density_0;
  // 1: centered, 0: noncentered
  vector<lower=0, upper=1>[K - K_free] centeredness_s;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K_free] prior_beta_location;
  vector<lower=0>[K_free] prior_beta_scale;
  vector<lower=0>[S] prior_tau_s_rate;
  vector<lower=0>[L] prior_lengthscale_shape;
  vector<lower=0>[L] prior_lengthscale_scale;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K_free] beta_free;
  vector<lower=0>[S] tau_s; // scales of smooths
  vector<lower=0>[L] lengthscale;
  vector[K - K_free] z_s; // partly centered
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  // logarithms of the standard deviations of beta_s
  vector[K - K_free] log_sd_s;
  log_sd_s = log_spectral_sd(lengthscale, frequency,
    nu_s, log_density_0);
  log_sd_s += log(tau_s[smooth]);
  vector[K - K_free] beta_s; // coefficients of smooths
  beta_s = z_s .* exp((1 - centeredness_s) .* log_sd_s);
  vector[K] beta = append_row(beta_free, beta_s);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  tau_s ~ exponential(prior_tau_s_rate);
  lengthscale ~ inv_gamma(prior_lengthscale_shape, prior_lengthscale_scale);
  sigma ~ exponential(prior_sigma_rate);
  z_s ~ normal(0, exp(centeredness_s .* log_sd_s));
  if (prior_only == 0) {
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
