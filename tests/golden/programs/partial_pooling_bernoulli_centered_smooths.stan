// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ bernoulli(inv_logit(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   beta = (beta_free, beta_s)
//   beta_s[k] ~ normal(0, tau_s[smooth[k]])
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // where the Q coefficients of each row's group are in to_vector(u), after the
  // coefficients of other factors; u has J rows
  array[,] int u_positions(array[] int group, int J, int Q, int before) {
    array[Q, size(group)] int u_index;
    for (q in 1 : Q) {
      for (n in 1 : size(group)) {
        u_index[q, n] = before + (q - 1) * J + group[n];
      }
    }
    return u_index;
  }
  // log mass of all rows, where
  //   y[n] ~ bernoulli(inv_logit(eta[n]))
  //   eta[n] = alpha + X[n] * beta + sum over r of Z[n, r] * u[u_index[r, n]]
  real grouped_bernoulli_logit_glm_lpmf(array[] int y, matrix X, real alpha,
                                        vector beta, matrix Z,
                                        array[,] int u_index, vector u) {
    int N = size(y);
    vector[N] eta = alpha + X * beta;
    for (r in 1 : cols(Z)) {
      eta += Z[ : , r] .* u[u_index[r]];
    }
    return bernoulli_logit_lupmf(y | eta);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0, upper=1> y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  int<lower=0, upper=K> K_free; // those without penalty
  int<lower=1> S; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K - K_free] int<lower=1, upper=S> smooth;
  // 1: centered, 0: noncentered
  vector<lower=0, upper=1>[K - K_free] centeredness_s;
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K_free] prior_beta_location;
  vector<lower=0>[K_free] prior_beta_scale;
  vector<lower=0>[S] prior_tau_s_rate;
  vector<lower=0>[Q] prior_tau_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  array[Q, N] int u_index = u_positions(group, J, Q, 0);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K_free] beta_free;
  vector<lower=0>[S] tau_s; // scales of smooths
  vector[K - K_free] z_s; // partly centered
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] b;
}
transformed parameters {
  vector[K - K_free] beta_s; // coefficients of smooths
  beta_s = z_s .* pow(tau_s[smooth], 1 - centeredness_s);
  vector[K] beta = append_row(beta_free, beta_s);
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = b - rep_matrix(mu, J);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  tau_s ~ exponential(prior_tau_s_rate);
  tau ~ exponential(prior_tau_rate);
  z_s ~ normal(0, pow(tau_s[smooth], centeredness_s));
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  if (prior_only == 0) {
    y ~ grouped_bernoulli_logit_glm(X_c, alpha_c, beta, Z, u_index,
                                    to_vector(u));
  }
}
