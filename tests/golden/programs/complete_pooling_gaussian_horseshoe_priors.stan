// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
functions {
  // coefficients with a regularized horseshoe prior, of standardized ones; a
  // slab bounds those that are large (Piironen and Vehtari 2017)
  vector horseshoe(vector z, vector local, real global, real slab,
                   vector global_scale, vector slab_scale) {
    vector[rows(z)] shrunk = square(global * global_scale .* local);
    vector[rows(z)] widest = slab * square(slab_scale);
    return z .* sqrt(shrunk .* widest ./ (shrunk + widest));
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector<lower=0>[K] prior_beta_global_scale;
  vector<lower=0>[K] prior_beta_slab_df;
  vector<lower=0>[K] prior_beta_slab_scale;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta_z; // standardized coefficients
  vector<lower=0>[K] beta_local; // scale of each coefficient
  real<lower=0> beta_global; // scale of all coefficients
  real<lower=0> beta_slab; // bounds the variance of large ones
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[K] beta = horseshoe(beta_z, beta_local, beta_global, beta_slab,
                             prior_beta_global_scale, prior_beta_slab_scale);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  sigma ~ exponential(prior_sigma_rate);
  beta_z ~ std_normal(); // implies the distribution of beta
  beta_local ~ cauchy(0, 1);
  beta_global ~ cauchy(0, 1);
  beta_slab ~ inv_gamma(0.5 * prior_beta_slab_df[1],
                        0.5 * prior_beta_slab_df[1]);
  if (prior_only == 0) {
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
