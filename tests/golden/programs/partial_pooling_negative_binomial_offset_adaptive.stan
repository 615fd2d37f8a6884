// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ neg_binomial_2(exp(eta[n]), phi)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + offsets[n]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// Groups whose own data say much are centered, others are not, and many are in
// between: w says how far, for each group and coefficient.
functions {
  // deviations: unit * z - mean if w = 1 (centered), tau * z if w = 0, where
  // unit is tau_pilot (noncentered)
  matrix partly_centered(matrix z, matrix mean, vector tau, matrix w,
                         matrix unit, vector tau_pilot) {
    matrix[rows(z), cols(z)] u;
    for (q in 1 : cols(z)) {
      u[ : , q] = (unit[ : , q] .* z[ : , q] - w[ : , q] .* mean[ : , q])
                  .* exp(log(tau[q] / tau_pilot[q]) * (1 - w[ : , q]));
    }
    return u;
  }
  // where to_vector(u), u of J rows, has the Q coefficients of a row's group,
  // after so many numbers of other factors
  array[,] int places(array[] int group, int J, int Q, int after) {
    array[Q, size(group)] int place;
    for (q in 1 : Q) {
      for (n in 1 : size(group)) {
        place[q, n] = after + (q - 1) * J + group[n];
      }
    }
    return place;
  }
  // log mass of y[n] ~ neg_binomial_2_log(eta[n], phi), eta[n] = alpha
  // + X[n] * beta + sum over r of W[n, r] * u[place[r, n]]
  real grouped_negative_binomial_log_glm_lpmf(array[] int y, real phi,
                                              matrix X, real alpha,
                                              vector beta, matrix W,
                                              array[,] int place, vector u) {
    vector[size(y)] eta = alpha + X * beta;
    for (r in 1 : cols(W)) {
      eta += W[ : , r] .* u[place[r]];
    }
    return neg_binomial_2_log_lupmf(y | eta, phi);
  }
}
data {
  int<lower=1> N; // rows
  array[N] int<lower=0> y; // counts
  vector[N] offsets; // added to eta
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 2> mean_of; // mu in (0, alpha, beta)
  matrix<lower=0, upper=1>[J, Q] w; // 1: centered, 0: not
  matrix<lower=0>[J, Q] unit; // of z
  vector<lower=0>[Q] tau_pilot; // a guess of tau
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_phi_shape;
  real<lower=0> prior_phi_scale;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K + 1] X_c = append_col(X - rep_matrix(x_bar', N), offsets);
  array[Q, N] int place = places(group, J, Q, 0);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // b / unit where w = 1
  real<lower=0> phi; // variance is mean + mean^2 / phi
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_of]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, w, unit, tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  phi ~ inv_gamma(prior_phi_shape, prior_phi_scale);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  target += sum((1 - w) * log(tau)); // z is stretched into u
  if (prior_only == 0) {
    y ~ grouped_negative_binomial_log_glm(phi, X_c, alpha_c,
                                          append_row(beta, 1), Z, place,
                                          to_vector(u));
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, w, unit, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
