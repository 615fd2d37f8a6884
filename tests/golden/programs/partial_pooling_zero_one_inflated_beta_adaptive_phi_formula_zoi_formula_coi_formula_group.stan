// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] is 0 or 1 with probability zoi[n], and then 1 with
//   probability coi[n]; else
//   beta(phi[n] * mu[n], phi[n] * (1 - mu[n]))
//   mu[n] = inv_logit(eta[n])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   log(phi[n]) = alpha_phi + X_phi[n] * beta_phi
//   logit(zoi[n]) = alpha_zoi + X_zoi[n] * beta_zoi
//   logit(coi[n]) = alpha_coi + X_coi[n] * beta_coi
//            + Z_coi[n] * u_coi[group_coi[n]]
//   b_coi[j] = mu_coi + u_coi[j]
//   u_coi[j, q] ~ normal(0, tau_coi[q])
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
  // 0 or 1 with probability zoi[n], and then 1 with probability coi[n]; else
  // beta with mean inv_logit(eta[n]) and precision phi[n]
  real zero_one_inflated_beta_logit_lpdf(data vector y, vector eta, vector phi,
                                         vector zoi, vector coi) {
    array[size(rows_at_ends(y, 1))] int ends = rows_at_ends(y, 1);
    array[size(y) - size(ends)] int inside = rows_at_ends(y, 0);
    vector[size(inside)] a = phi[inside] .* inv_logit(eta[inside]);
    vector[size(inside)] b = phi[inside] .* inv_logit(-eta[inside]);
    return sum(log(zoi[ends])) + sum(log1m(zoi[inside]))
           + dot_product(y[ends], log(coi[ends]))
           + dot_product(1 - y[ends], log1m(coi[ends]))
           + beta_lpdf(y[inside] | a, b);
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
  // 1: centered, 0: noncentered
  matrix<lower=0, upper=1>[J, Q] centeredness;
  matrix<lower=0>[J, Q] z_scale; // gives z a scale near 1
  vector<lower=0>[Q] tau_pilot; // estimate of tau
  int<lower=0> K_phi; // number of population predictors
  matrix[N, K_phi] X_phi; // population predictors
  vector[K_phi] x_bar_phi; // where the prior on the intercept applies
  int<lower=0> K_zoi; // number of population predictors
  matrix[N, K_zoi] X_zoi; // population predictors
  vector[K_zoi] x_bar_zoi; // where the prior on the intercept applies
  int<lower=0> K_coi; // number of population predictors
  matrix[N, K_coi] X_coi; // population predictors
  vector[K_coi] x_bar_coi; // where the prior on the intercept applies
  int<lower=1> J_coi; // number of groups
  int<lower=1> Q_coi; // number of varying coefficients
  array[N] int<lower=1, upper=J_coi> group_coi; // group of each row
  matrix[N, Q_coi] Z_coi; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_coi, beta_coi)
  array[Q_coi] int<lower=1, upper=K_coi + 2> mean_index_coi;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real prior_Intercept_phi_location;
  real<lower=0> prior_Intercept_phi_scale;
  vector[K_phi] prior_beta_phi_location;
  vector<lower=0>[K_phi] prior_beta_phi_scale;
  real prior_Intercept_zoi_location;
  real<lower=0> prior_Intercept_zoi_scale;
  vector[K_zoi] prior_beta_zoi_location;
  vector<lower=0>[K_zoi] prior_beta_zoi_scale;
  real prior_Intercept_coi_location;
  real<lower=0> prior_Intercept_coi_scale;
  vector[K_coi] prior_beta_coi_location;
  vector<lower=0>[K_coi] prior_beta_coi_scale;
  vector<lower=0>[Q_coi] prior_tau_coi_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_phi] X_c_phi = X_phi - rep_matrix(x_bar_phi', N);
  matrix[N, K_zoi] X_c_zoi = X_zoi - rep_matrix(x_bar_zoi', N);
  matrix[N, K_coi] X_c_coi = X_coi - rep_matrix(x_bar_coi', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  real alpha_c_phi; // alpha_phi at x_bar_phi
  vector[K_phi] beta_phi;
  real alpha_c_zoi; // alpha_zoi at x_bar_zoi
  vector[K_zoi] beta_zoi;
  real alpha_c_coi; // alpha_coi at x_bar_coi
  vector[K_coi] beta_coi;
  vector<lower=0>[Q_coi] tau_coi; // population scales
  matrix[J_coi, Q_coi] z_coi; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  real alpha_phi = alpha_c_phi - dot_product(x_bar_phi, beta_phi);
  real alpha_zoi = alpha_c_zoi - dot_product(x_bar_zoi, beta_zoi);
  real alpha_coi = alpha_c_coi - dot_product(x_bar_coi, beta_coi);
  row_vector[Q_coi] mu_coi;
  mu_coi = append_row([0, alpha_coi]', beta_coi)[mean_index_coi]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  // deviations of groups from their means
  matrix[J_coi, Q_coi] u_coi;
  u_coi = diag_post_multiply(z_coi, tau_coi);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  alpha_c_phi ~ normal(prior_Intercept_phi_location,
                       prior_Intercept_phi_scale);
  beta_phi ~ normal(prior_beta_phi_location, prior_beta_phi_scale);
  alpha_c_zoi ~ normal(prior_Intercept_zoi_location,
                       prior_Intercept_zoi_scale);
  beta_zoi ~ normal(prior_beta_zoi_location, prior_beta_zoi_scale);
  alpha_c_coi ~ normal(prior_Intercept_coi_location,
                       prior_Intercept_coi_scale);
  beta_coi ~ normal(prior_beta_coi_location, prior_beta_coi_scale);
  tau_coi ~ exponential(prior_tau_coi_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  to_vector(z_coi) ~ std_normal(); // implies the distribution of u_coi
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta_phi = alpha_c_phi + X_c_phi * beta_phi;
    vector[N] eta_zoi = alpha_c_zoi + X_c_zoi * beta_zoi;
    vector[N] eta_coi = alpha_c_coi + X_c_coi * beta_coi;
    eta_coi += rows_dot_product(Z_coi, u_coi[group_coi]);
    vector[N] phi = exp(eta_phi);
    vector[N] zoi = inv_logit(eta_zoi);
    vector[N] coi = inv_logit(eta_coi);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y ~ zero_one_inflated_beta_logit(eta, phi, zoi, coi);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_coi, Q_coi] b_coi;
  b_coi = diag_post_multiply(z_coi, tau_coi);
  b_coi += rep_matrix(mu_coi, J_coi);
}
