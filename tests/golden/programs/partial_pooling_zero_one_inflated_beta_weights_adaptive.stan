// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] is 0 or 1 with probability zoi, and then 1 with
//   probability coi; else
//   beta(phi * mu[n], phi * (1 - mu[n]))
//   mu[n] = inv_logit(eta[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   the log likelihood of row n is multiplied by weights[n]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
functions {
  // deviations u of coefficients from their mean. With centeredness 1 they are
  // z_scale * z - mean (centered); with centeredness 0 they are tau * z
  // (noncentered), because z_scale is tau_pilot there
  matrix partly_centered(matrix z, matrix mean, vector tau,
                         matrix centeredness, matrix z_scale,
                         vector tau_pilot) {
    matrix[rows(z), cols(z)] u;
    for (q in 1 : cols(z)) {
      u[ : , q] = (z_scale[ : , q] .* z[ : , q]
                   - centeredness[ : , q] .* mean[ : , q])
                  .* exp(log(tau[q] / tau_pilot[q])
                         * (1 - centeredness[ : , q]));
    }
    return u;
  }
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
  vector<lower=0>[N] weights; // multiply the rows' log likelihoods
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
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
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  real<lower=0> phi; // variance inside is mean * (1 - mean) / (1 + phi)
  real<lower=0, upper=1> zoi; // probability of a 0 or a 1
  real<lower=0, upper=1> coi; // probability of a 1, given that it is 0 or 1
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  phi ~ inv_gamma(prior_phi_shape, prior_phi_scale);
  zoi ~ beta(prior_zoi_a, prior_zoi_b);
  coi ~ beta(prior_coi_a, prior_coi_b);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    for (n in 1 : N) {
      target += weights[n]
                * zero_one_inflated_beta_logit_lpdf(y[n] | eta[n], phi, zoi,
                                                    coi);
    }
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
