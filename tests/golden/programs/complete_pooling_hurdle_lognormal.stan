// Complete pooling: one set of coefficients for every row.
//
//   y[n] is 0 with probability hu, and else
//   lognormal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
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
  // 0 with probability hu, else lognormal
  real hurdle_lognormal_identity_lpdf(data vector y, vector eta, real sigma,
                                      real hu) {
    array[size(rows_where_zero(y, 0))] int above = rows_where_zero(y, 0);
    return (size(y) - size(above)) * log(hu) + size(above) * log1m(hu)
           + lognormal_lpdf(y[above] | eta[above], sigma);
  }
  real hurdle_lognormal_identity_lpdf(data vector y, vector eta,
                                      vector sigma, real hu) {
    array[size(rows_where_zero(y, 0))] int above = rows_where_zero(y, 0);
    return (size(y) - size(above)) * log(hu) + size(above) * log1m(hu)
           + lognormal_lpdf(y[above] | eta[above], sigma[above]);
  }
  real hurdle_lognormal_identity_lpdf(real y, real eta, real sigma, real hu) {
    if (y == 0) {
      return log(hu);
    }
    return log1m(hu) + lognormal_lpdf(y | eta, sigma);
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0>[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_sigma_rate;
  real<lower=0> prior_hu_a;
  real<lower=0> prior_hu_b;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> sigma; // residual scale
  real<lower=0, upper=1> hu; // probability of a zero
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  sigma ~ exponential(prior_sigma_rate);
  hu ~ beta(prior_hu_a, prior_hu_b);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    y ~ hurdle_lognormal_identity(eta, sigma, hu);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
