// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
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
  int<lower=1> N; // rows
  vector[N] y; // outcome
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 2> mean_of; // mu in (0, alpha, beta)
  int<lower=1> P; // group-level predictors
  matrix[J, P] U;
  array[P, Q] int<lower=1, upper=K + 2> effect_of; // and their effects
  matrix[Q, Q] to_zero; // from predictors' origins, of u
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] b_c; // b where predictors of u are at origins
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
}
model {
  matrix[J, Q] u = b_c - rep_matrix(mu, J); // deviations
  u -= group_level(U, effect_of, append_row([0, alpha]', beta));
  u = u * to_zero'; // where predictors are 0
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  sigma ~ exponential(prior_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, sigma);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu, J);
  b += group_level(U, effect_of, append_row([0, alpha]', beta));
  b += (b_c - b) * to_zero';
}
