// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ bernoulli(inv_logit(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + dot_product(scores[scored[n]], loadings[loaded[n]])
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
data {
  int<lower=1> N; // rows
  array[N] int<lower=0, upper=1> y; // outcome
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 2> mean_of; // mu in (0, alpha, beta)
  int<lower=1> R; // latent factors
  int<lower=R> J_scores; // those who have scores
  int<lower=R> J_loadings; // those that have loadings
  array[N] int<lower=1, upper=J_scores> scored;
  array[N] int<lower=1, upper=J_loadings> loaded;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_loading_scale_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // standardised deviations of b
  matrix[J_scores, R] scores;
  cholesky_factor_cov[J_loadings, R] z_loadings; // a triangle on top
  real<lower=0> loading_scale;
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
}
model {
  matrix[J, Q] u = diag_post_multiply(z, tau); // deviations
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  loading_scale ~ exponential(prior_loading_scale_rate);
  to_vector(z) ~ std_normal(); // so that u is distributed as above
  to_vector(scores) ~ std_normal();
  // as if all loadings were normal(0, loading_scale), turned into a triangle
  to_vector(z_loadings) ~ std_normal();
  for (r in 1 : R) {
    target += (R - r) * log(z_loadings[r, r]);
  }
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] product = rows_dot_product(scores[scored], z_loadings[loaded]);
    group_effect += loading_scale * product;
    y ~ bernoulli_logit_glm(X_c, alpha_c + group_effect, beta);
  }
}
generated quantities {
  matrix[J, Q] b = diag_post_multiply(z, tau);
  b += rep_matrix(mu, J);
  matrix[J_loadings, R] loadings = loading_scale * z_loadings;
}
