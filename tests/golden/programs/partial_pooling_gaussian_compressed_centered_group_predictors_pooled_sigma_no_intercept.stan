// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ normal(eta[n], sigma_j[group_sigma[n]])
//   sigma_j[j] ~ lognormal(log(sigma), tau_sigma)
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + (effects of U[j]) + u[j]
//   u[j, q] ~ normal(0, tau[q])
functions {
  // what group-level predictors U add to the means of the groups' coefficients;
  // effect_of says which population coefficients (first: 0) are their effects
  matrix group_level(matrix U, array[,] int effect_of, vector population) {
    matrix[rows(U), size(effect_of[1])] m = rep_matrix(0, rows(U),
                                                       size(effect_of[1]));
    for (p in 1 : cols(U)) {
      m += U[ : , p] * population[effect_of[p]]';
    }
    return m;
  }
}
data {
  int<lower=1> N; // rows that are left, turned by an orthogonal matrix
  vector[N] y; // outcome
  int<lower=1> J_sigma; // groups with residual scales of their own
  array[N] int<lower=1, upper=J_sigma> group_sigma;
  vector[J_sigma] N_zero; // rows that turning has emptied
  int<lower=0> K; // population predictors
  int<lower=0> D; // columns of X: predictors
  matrix[N, D] X;
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 1> mean_of; // mu in (0, beta)
  int<lower=1> P; // group-level predictors
  matrix[J, P] U;
  array[P, Q] int<lower=1, upper=K + 2> effect_of; // and their effects
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_sigma_rate;
  real<lower=0> prior_tau_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] b;
  real<lower=0> sigma; // residual scale
  real<lower=0> tau_sigma; // spread of the log residual scales
  vector[J_sigma] z_sigma; // their standardised deviations
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_of]'; // means
  vector<lower=0>[J_sigma] sigma_j = sigma * exp(tau_sigma * z_sigma);
}
model {
  matrix[J, Q] u = b - rep_matrix(mu, J); // deviations
  u -= group_level(U, effect_of, append_row(0, beta));
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  sigma ~ exponential(prior_sigma_rate);
  tau_sigma ~ exponential(prior_tau_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  z_sigma ~ std_normal(); // so that sigma_j is distributed as above
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[D] theta = beta;
    vector[N] scale = sigma_j[group_sigma];
    y ~ normal_id_glm(X, group_effect, theta, scale);
    target += -dot_product(N_zero, log(sigma_j));
  }
}
