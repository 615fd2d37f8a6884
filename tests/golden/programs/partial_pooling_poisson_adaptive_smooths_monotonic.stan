// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ poisson(exp(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   beta = (beta_free, beta_s, beta_m)
//   beta_s[k] ~ normal(0, tau_s[smooth[k]])
//   beta_m = departures of ordered levels from straight lines
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
//
// The more the data of a group say about a coefficient, compared with what the
// population says, the more it is centered: see centeredness.
functions {
  /* How far the levels of monotonic effects that are between the lowest and
     the highest are from straight lines (Buerkner and Charpentier 2020).
     mean_step: mean steps between neighbouring levels.
     steps: how large the steps are relative to each other, of one effect
     after the other.
     D: the number of steps of each effect. */
  vector departures(vector mean_step, vector steps, array[] int D) {
    vector[size(steps) - size(D)] found;
    int step = 1;
    int level = 1;
    for (m in 1 : size(D)) {
      int inner = D[m] - 1;
      vector[D[m]] own = segment(steps, step, D[m]);
      vector[inner] line = linspaced_vector(inner, 1, inner);
      vector[inner] rise = D[m] / sum(own) * head(cumulative_sum(own), inner);
      found[level : level + inner - 1] = mean_step[m] * (rise - line);
      step += D[m];
      level += inner;
    }
    return found;
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
  //   y[n] ~ poisson(exp(eta[n]))
  //   eta[n] = alpha + X[n] * beta + sum over r of Z[n, r] * u[u_index[r, n]]
  real grouped_poisson_log_glm_lpmf(array[] int y, matrix X, real alpha,
                                    vector beta, matrix Z,
                                    array[,] int u_index, vector u) {
    int N = size(y);
    vector[N] eta = alpha + X * beta;
    for (r in 1 : cols(Z)) {
      eta += Z[ : , r] .* u[u_index[r]];
    }
    return poisson_log_lupmf(y | eta);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> y; // counts
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  int<lower=0, upper=K> K_free; // those with priors of their own
  int<lower=1, upper=K - K_free> K_s; // those of smooths
  int<lower=1> S; // number of scales of smooths
  // the scale of each other coefficient, which are the last
  array[K_s] int<lower=1, upper=S> smooth;
  // 1: centered, 0: noncentered
  vector<lower=0, upper=1>[K_s] centeredness_s;
  int<lower=1> M; // number of monotonic effects
  array[M] int<lower=2> D; // number of steps of each
  int<lower=2> n_steps; // of all
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
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K_free] prior_beta_location;
  vector<lower=0>[K_free] prior_beta_scale;
  vector<lower=0>[S] prior_tau_s_rate;
  vector<lower=0>[n_steps] prior_steps_shape;
  vector<lower=0>[n_steps] prior_steps_rate;
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
  vector[K_s] z_s; // partly centered
  vector<lower=0>[n_steps] steps; // relative to each other
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // coefficients, partly centered
}
transformed parameters {
  vector[K_s] beta_s; // coefficients of smooths
  beta_s = z_s .* pow(tau_s[smooth], 1 - centeredness_s);
  vector[n_steps - M] beta_m; // of levels between the ends
  beta_m = departures(tail(beta_free, M),
    steps, D);
  vector[K] beta = append_row(append_row(beta_free, beta_s), beta_m);
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[mean_index]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, tau, centeredness, z_scale,
                                   tau_pilot);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  tau_s ~ exponential(prior_tau_s_rate);
  steps ~ gamma(prior_steps_shape, prior_steps_rate);
  tau ~ exponential(prior_tau_rate);
  z_s ~ normal(0, pow(tau_s[smooth], centeredness_s));
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  // Jacobian of b as a function of z
  target += ones_row_vector(J) * (1 - centeredness) * log(tau);
  if (prior_only == 0) {
    y ~ grouped_poisson_log_glm(X_c, alpha_c, beta, Z, u_index, to_vector(u));
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, tau, centeredness, z_scale, tau_pilot);
  b += rep_matrix(mu - mu_c, J); // at X = 0
}
