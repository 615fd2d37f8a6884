// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + sum over r of factor_scale[r] * product over columns m of
//              factor_scores[factor_index[n, m], r]
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
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
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
  int<lower=1> R; // number of latent factors
  int<lower=2> n_columns; // number of columns whose levels have scores
  vector<lower=1>[n_columns] n_levels; // of each column
  int<lower=1> J_factors; // number of levels of all columns
  array[n_columns] int<lower=1> first; // level of each column
  array[n_columns] int<lower=1> last;
  array[J_factors] int<lower=1> column_of; // the column of each level
  array[N, n_columns] int<lower=1, upper=J_factors> factor_index;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[R] prior_factor_scale_rate;
  real<lower=0> prior_sigma_rate;
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
  vector<lower=0>[R] product_rms; // root mean squares of products of scores
  matrix<lower=0>[n_columns, R] score_rms; // and of scores
  matrix[J_factors, R] z_factors; // directions of scores
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
  vector[R] factor_scale = product_rms;
  matrix[n_columns, R] radius; // root mean squares of z_factors
  for (m in 1 : n_columns) {
    factor_scale ./= score_rms[m]';
    for (r in 1 : R) {
      radius[m, r] = sqrt(mean(square(z_factors[first[m] : last[m], r])));
    }
  }
  matrix[J_factors, R] directions = z_factors ./ radius[column_of];
  matrix[J_factors, R] factor_scores = score_rms[column_of] .* directions;
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  factor_scale ~ exponential(prior_factor_scale_rate);
  sigma ~ exponential(prior_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  // normal scores have chi-distributed lengths, and independent directions,
  // as any z_factors have whose density depends on their lengths alone
  target += sum((n_levels - 1)' * log(score_rms ./ radius));
  target += -0.5 * sum(n_levels' * square(score_rms));
  to_vector(radius) ~ normal(1, 0.1);
  // the prior is on factor_scale
  target += sum(log(factor_scale ./ product_rms));
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    matrix[N, R] product = directions[factor_index[ : , 1]];
    for (m in 2 : n_columns) {
      product = product .* directions[factor_index[ : , m]];
    }
    group_effect += product * product_rms;
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, sigma);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
