// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] is 0 or 1 with probability zoi, and then 1 with
//   probability coi; else
//   beta(phi * mu[n], phi * (1 - mu[n]))
//   mu[n] = inv_logit(eta[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
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
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
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
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] z; // standardized deviations of b
  real<lower=0> phi; // variance inside is mean * (1 - mean) / (1 + phi)
  real<lower=0, upper=1> zoi; // probability of a 0 or a 1
  real<lower=0, upper=1> coi; // probability of a 1, given that it is 0 or 1
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = z * diag_pre_multiply(tau, L_Omega)';
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  phi ~ inv_gamma(prior_phi_shape, prior_phi_scale);
  zoi ~ beta(prior_zoi_a, prior_zoi_b);
  coi ~ beta(prior_coi_a, prior_coi_b);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y ~ zero_one_inflated_beta_logit(eta, phi, zoi, coi);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = z * diag_pre_multiply(tau, L_Omega)';
  b += rep_matrix(mu, J);
}
