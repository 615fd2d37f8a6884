// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] is 0 with probability hu, and else
//   lognormal(eta[n], sigma_j[group_sigma[n]])
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   sigma_j[j] ~ lognormal(log(sigma), tau_sigma)
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
  int<lower=1> J_sigma; // number of groups with their own residual scale
  array[N] int<lower=1, upper=J_sigma> group_sigma; // that of each row
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
  real<lower=0> prior_sigma_rate;
  real<lower=0> prior_tau_sigma_rate;
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
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  real<lower=0> sigma; // residual scale
  real<lower=0> tau_sigma; // standard deviation of log(sigma_j)
  vector[J_sigma] z_sigma; // standardized deviations of log(sigma_j)
  real<lower=0, upper=1> hu; // probability of a zero
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  vector<lower=0>[J_sigma] sigma_j = sigma * exp(tau_sigma * z_sigma);
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  sigma ~ exponential(prior_sigma_rate);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  hu ~ beta(prior_hu_a, prior_hu_b);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  z_sigma ~ std_normal(); // implies the distribution of sigma_j
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] scale = sigma_j[group_sigma];
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y ~ hurdle_lognormal_identity(eta, scale, hu);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
