// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma_j[group_sigma[n]])
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   sigma_j[j] ~ lognormal(log(sigma), tau_sigma)
//   b[j] = mu + U[j] * (its effects, which are in beta) + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // the effects of group-level predictors U on the means of the groups'
  // coefficients; effect_index says where each effect is in (0, alpha, beta)
  matrix effects_of_U(matrix U, array[,] int effect_index, vector population) {
    int Q = size(effect_index[1]);
    matrix[rows(U), Q] effects = rep_matrix(0, rows(U), Q);
    for (p in 1 : cols(U)) {
      effects += U[ : , p] * population[effect_index[p]]';
    }
    return effects;
  }
}
data {
  int<lower=1> N; // number of rows, after reduction by QR decompositions
  vector[N] y; // outcome
  int<lower=1> J_sigma; // number of groups with their own residual scale
  array[N] int<lower=1, upper=J_sigma> group_sigma; // that of each row
  vector[J_sigma] N_zero_rows; // number of rows that became 0
  int<lower=0> K; // number of population predictors
  int<lower=0> K_X; // columns of X: predictors
  matrix[N, K_X] X; // population predictors, reduced
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, beta)
  array[Q] int<lower=1, upper=K + 1> mean_index;
  int<lower=1> P; // number of group-level predictors
  matrix[J, P] U; // group-level predictors, which are also in X
  // their effects on each coefficient, by their position in (0, beta)
  array[P, Q] int<lower=1, upper=K + 2> effect_index;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_sigma_rate;
  real<lower=0> prior_tau_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] b;
  real<lower=0> sigma; // residual scale
  real<lower=0> tau_sigma; // standard deviation of log(sigma_j)
  vector[J_sigma] z_sigma; // standardized deviations of log(sigma_j)
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_index]'; // means
  vector<lower=0>[J_sigma] sigma_j = sigma * exp(tau_sigma * z_sigma);
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = b - rep_matrix(mu, J);
  u -= effects_of_U(U, effect_index, append_row(0, beta));
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  sigma ~ exponential(prior_sigma_rate);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  z_sigma ~ std_normal(); // implies the distribution of sigma_j
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[K_X] theta = beta;
    vector[N] scale = sigma_j[group_sigma];
    y ~ normal_id_glm(X, group_effect, theta, scale);
    target += -dot_product(N_zero_rows, log(sigma_j));
  }
}
