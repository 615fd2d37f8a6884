// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + dot_product(scores[scored[n]], loadings[loaded[n]])
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// Groups whose own data say much are centered, others are not, and many are in
// between: w says how far, for each group and coefficient.
functions {
  // deviations: tau_pilot * z - mean if w = 1 (centered), tau * z if w = 0
  // (noncentered); z ~ normal(w * mean / tau_pilot, (tau / tau_pilot)^w)
  matrix partly_centered(matrix z, matrix mean, vector tau, matrix w,
                         vector tau_pilot) {
    matrix[rows(z), cols(z)] u;
    for (q in 1 : cols(z)) {
      u[ : , q] = (tau_pilot[q] * z[ : , q] - w[ : , q] .* mean[ : , q])
                  .* exp(log(tau[q] / tau_pilot[q]) * (1 - w[ : , q]));
    }
    return u;
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
  matrix<lower=0, upper=1>[J, Q] w; // 1: centered, 0: not
  vector<lower=0>[Q] tau_pilot; // a guess of tau
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
  matrix[J, Q] z; // b / tau_pilot where w = 1
  matrix[J_scores, R] scores;
  cholesky_factor_cov[J_loadings, R] z_loadings; // a triangle on top
  real<lower=0> loading_scale;
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_of]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, w, tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  loading_scale ~ exponential(prior_loading_scale_rate);
  sigma ~ exponential(prior_sigma_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  target += sum((1 - w) * log(tau)); // z is stretched into u
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
    y ~ normal_id_glm(X_c, alpha_c + group_effect, beta, sigma);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, w, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_loadings, R] loadings = loading_scale * z_loadings;
}
