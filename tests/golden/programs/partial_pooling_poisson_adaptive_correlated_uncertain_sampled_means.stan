// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are estimated.
//
//   y[n] ~ poisson(exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over unknown values of beta[column] * (true value - in_X)
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
//   true values of x ~ normal(mean_x + X_x * beta_x, sd_x)
//   seen ~ normal(true value, seen_error)
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
functions {
  // log density of the rows of u, each multi_normal(0, L * L')
  real multi_normal_rows_lpdf(matrix u, matrix L) {
    return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u')))
           - rows(u) * sum(log(diagonal(L)));
  }
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
  // the same for correlated coefficients: in groups with decorrelated = 1 the z
  // are uncorrelated, and their deviations are multiplied by L_Omega
  matrix partly_centered_correlated(matrix z, matrix mean, vector tau,
                                    matrix L_Omega, matrix centeredness,
                                    matrix z_scale, vector tau_pilot,
                                    vector decorrelated) {
    matrix[rows(z), cols(z)] deviations = z - centeredness .* mean ./ z_scale;
    matrix[rows(z), cols(z)] correlated = deviations * add_diag(L_Omega, -1)';
    return partly_centered(z + rep_matrix(decorrelated, cols(z)) .* correlated,
                           mean, tau, centeredness, z_scale, tau_pilot);
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
  vector<lower=0, upper=1>[J] decorrelated; // 1: z is uncorrelated
  int<lower=1> U; // number of predictors whose values are not all known
  array[U] int<lower=1, upper=K> column; // their columns of X
  int<lower=1> n_seen; // number of values that were observed
  array[n_seen] int<lower=1, upper=U> seen_of; // of which predictor
  vector[n_seen] seen;
  vector<lower=0>[n_seen] seen_error; // standard deviations of their errors
  int<lower=0> n_unknown; // number of true values that are not known
  array[n_unknown] int<lower=1, upper=U> unknown_of; // of which predictor
  array[n_unknown] int<lower=1, upper=N> unknown_row; // of which row
  vector[n_unknown] in_X; // what stands in X: what was observed, or a mean
  vector<lower=0>[n_unknown] precision; // of what was observed; 0 for nothing
  int<lower=1> K_x; // number of predictors of means of true values
  matrix[n_seen, K_x] seen_X; // 0 in the columns of other predictors
  matrix[n_unknown, K_x] unknown_X;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  vector[U] prior_mean_x_location;
  vector<lower=0>[U] prior_mean_x_scale;
  vector<lower=0>[U] prior_sd_x_rate;
  vector[K_x] prior_beta_x_location;
  vector<lower=0>[K_x] prior_beta_x_scale;
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
  matrix[J, Q] z; // coefficients, partly centered
  vector[U] mean_x; // means of true values
  vector<lower=0>[U] sd_x; // their standard deviations
  vector[K_x] beta_x;
  vector[n_unknown] z_x; // standardized true values, given what was observed
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  vector[n_unknown] true_x; // true values
  {
    // means of true values, the weights that these have given what was
    // observed, and how far true values then are from in_X
    vector[n_unknown] expected = mean_x[unknown_of] + unknown_X * beta_x;
    vector[n_unknown] weight = inv(1 + precision .* square(sd_x[unknown_of]));
    vector[n_unknown] shift = weight .* (expected - in_X);
    true_x = in_X + shift + sqrt(weight) .* sd_x[unknown_of] .* z_x;
  }
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered_correlated(z, mean, tau, L_Omega,
                                              centeredness, z_scale,
                                              tau_pilot, decorrelated);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  mean_x ~ normal(prior_mean_x_location, prior_mean_x_scale);
  sd_x ~ exponential(prior_sd_x_rate);
  beta_x ~ normal(prior_beta_x_location, prior_beta_x_scale);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  target += sum(decorrelated) * sum(log(diagonal(L_Omega)));
  z_x ~ std_normal(); // implies the distribution of true_x
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[n_seen] seen_mean = mean_x[seen_of] + seen_X * beta_x;
    seen ~ normal(seen_mean, hypot(sd_x[seen_of], seen_error));
    vector[n_unknown] moves = beta[column[unknown_of]] .* (true_x - in_X);
    vector[N] x_effect = rep_vector(0, N);
    for (i in 1 : n_unknown) {
      x_effect[unknown_row[i]] += moves[i];
    }
    y ~ poisson_log_glm(X_c, alpha_c + group_effect + x_effect, beta);
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered_correlated(z, b, tau, L_Omega, centeredness, z_scale,
                                  tau_pilot, decorrelated);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
