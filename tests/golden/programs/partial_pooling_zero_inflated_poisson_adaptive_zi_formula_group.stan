// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] is 0 with probability zi[n], and else
//   poisson(exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   logit(zi[n]) = alpha_zi + X_zi[n] * beta_zi
//            + Z_zi[n] * u_zi[group_zi[n]]
//   b_zi[j] = mu_zi + u_zi[j]
//   u_zi[j, q] ~ normal(0, tau_zi[q])
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
  // the rows whose count is 0, or with is_zero = 0 the others
  array[] int rows_where_zero(array[] int y, int is_zero) {
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
  // 0 with probability zi[n], else Poisson with mean exp(eta[n])
  real zero_inflated_poisson_log_lpmf(array[] int y, vector eta, vector zi) {
    array[size(rows_where_zero(y, 1))] int zeros = rows_where_zero(y, 1);
    array[size(y) - size(zeros)] int others = rows_where_zero(y, 0);
    vector[size(zeros)] p = zi[zeros];
    vector[size(zeros)] log_zero = -exp(eta[zeros]);
    return sum(log(p + (1 - p) .* exp(log_zero))) + sum(log1m(zi[others]))
           + poisson_log_lpmf(y[others] | eta[others]);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
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
  int<lower=0> K_zi; // number of population predictors
  matrix[N, K_zi] X_zi; // population predictors
  vector[K_zi] x_bar_zi; // where the prior on the intercept applies
  int<lower=1> J_zi; // number of groups
  int<lower=1> Q_zi; // number of varying coefficients
  array[N] int<lower=1, upper=J_zi> group_zi; // group of each row
  matrix[N, Q_zi] Z_zi; // predictors of the varying coefficients
  // the mean of each one, by its position in (0, alpha_zi, beta_zi)
  array[Q_zi] int<lower=1, upper=K_zi + 2> mean_index_zi;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real prior_Intercept_zi_location;
  real<lower=0> prior_Intercept_zi_scale;
  vector[K_zi] prior_beta_zi_location;
  vector<lower=0>[K_zi] prior_beta_zi_scale;
  vector<lower=0>[Q_zi] prior_tau_zi_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_zi] X_c_zi = X_zi - rep_matrix(x_bar_zi', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
  real alpha_c_zi; // alpha_zi at x_bar_zi
  vector[K_zi] beta_zi;
  vector<lower=0>[Q_zi] tau_zi; // population scales
  matrix[J_zi, Q_zi] z_zi; // standardized deviations
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  real alpha_zi = alpha_c_zi - dot_product(x_bar_zi, beta_zi);
  row_vector[Q_zi] mu_zi;
  mu_zi = append_row([0, alpha_zi]', beta_zi)[mean_index_zi]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  // deviations of groups from their means
  matrix[J_zi, Q_zi] u_zi;
  u_zi = diag_post_multiply(z_zi, tau_zi);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  alpha_c_zi ~ normal(prior_Intercept_zi_location, prior_Intercept_zi_scale);
  beta_zi ~ normal(prior_beta_zi_location, prior_beta_zi_scale);
  tau_zi ~ exponential(prior_tau_zi_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  to_vector(z_zi) ~ std_normal(); // implies the distribution of u_zi
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta_zi = alpha_c_zi + X_c_zi * beta_zi;
    eta_zi += rows_dot_product(Z_zi, u_zi[group_zi]);
    vector[N] zi = inv_logit(eta_zi);
    vector[N] eta = alpha_c + group_effect + X_c * beta;
    y ~ zero_inflated_poisson_log(eta, zi);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_zi, Q_zi] b_zi;
  b_zi = diag_post_multiply(z_zi, tau_zi);
  b_zi += rep_matrix(mu_zi, J_zi);
}
