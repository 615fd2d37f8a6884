// Complete pooling: one set of coefficients for every row.
//
//   y[n] is 0 or 1 with probability zoi, and then 1 with
//   probability coi; else
//   beta(phi * mu[n], phi * (1 - mu[n]))
//   mu[n] = inv_logit(eta[n])
//   eta[n] = alpha + X[n] * beta
functions {
  // the rows whose outcome is 0 or 1, or with are_ends = 0 the others
  array[] int rows_at_ends(data vector y, int are_ends) {
    array[size(y)] int places;
    int found = 0;
    for (n in 1 : size(y)) {
      if ((y[n] == 0 || y[n] == 1) == are_ends) {
        found += 1;
        places[found] = n;
      }
    }
    return places[1 : found];
  }
  // 0 or 1 with probability zoi, and then 1 with probability coi; else beta
  // with mean inv_logit(eta) and precision phi
  real zero_one_inflated_beta_logit_lpdf(data vector y, vector eta, real phi,
                                         real zoi, real coi) {
    array[size(rows_at_ends(y, 1))] int ends = rows_at_ends(y, 1);
    array[size(y) - size(ends)] int inside = rows_at_ends(y, 0);
    real ones = sum(y[ends]);
    return size(ends) * log(zoi) + size(inside) * log1m(zoi)
           + ones * log(coi) + (size(ends) - ones) * log1m(coi)
           + beta_lpdf(y[inside] | phi * inv_logit(eta[inside]),
                                   phi * inv_logit(-eta[inside]));
  }
  real zero_one_inflated_beta_logit_lpdf(real y, real eta, real phi, real zoi,
                                         real coi) {
    if (y == 0 || y == 1) {
      return log(zoi) + (y == 1 ? log(coi) : log1m(coi));
    }
    return log1m(zoi)
           + beta_lpdf(y | phi * inv_logit(eta), phi * inv_logit(-eta));
  }
}
data {
  int<lower=1> N; // number of rows
  vector<lower=0, upper=1>[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_phi_shape;
  real<lower=0> prior_phi_scale;
  real<lower=0> prior_zoi_a;
  real<lower=0> prior_zoi_b;
  real<lower=0> prior_coi_a;
  real<lower=0> prior_coi_b;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<lower=0> phi; // variance inside is mean * (1 - mean) / (1 + phi)
  real<lower=0, upper=1> zoi; // probability of a 0 or a 1
  real<lower=0, upper=1> coi; // probability of a 1, given that it is 0 or 1
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  phi ~ inv_gamma(prior_phi_shape, prior_phi_scale);
  zoi ~ beta(prior_zoi_a, prior_zoi_b);
  coi ~ beta(prior_coi_a, prior_coi_b);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    y ~ zero_one_inflated_beta_logit(eta, phi, zoi, coi);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
