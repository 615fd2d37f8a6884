// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ binomial(trials[n], inv_logit(eta[n]))
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + (effects of U[j]) + u[j]
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
  // log mass of y[n] ~ binomial_logit(trials[n], eta[n]), eta[n] = alpha
  // + X[n] * beta + sum over r of W[n, r] * u[place[r, n]]
  real grouped_binomial_logit_glm_lpmf(array[] int y, array[] int trials,
                                       matrix X, real alpha, vector beta,
                                       matrix W, array[,] int place, vector u) {
    vector[size(y)] eta = alpha + X * beta;
    for (r in 1 : cols(W)) {
      eta += W[ : , r] .* u[place[r]];
    }
    return binomial_logit_lupmf(y | trials, eta);
  }
}
data {
  int<lower=1> N; // rows
  array[N] int<lower=0> trials;
  array[N] int<lower=0> y; // successes
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 1> mean_of; // mu in (0, beta)
  int<lower=1> P; // group-level predictors
  matrix[J, P] U;
  array[P, Q] int<lower=1, upper=K + 2> effect_of; // and their effects
  matrix<lower=0, upper=1>[J, Q] w; // 1: centered, 0: not
  vector<lower=0>[Q] tau_pilot; // a guess of tau
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X;
  array[Q, N] int place = places(group, J, Q, 0);
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // b / tau_pilot where w = 1
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_of]'; // means
}
model {
  matrix[J, Q] mean = rep_matrix(mu, J); // of b
  mean += group_level(U, effect_of, append_row(0, beta));
  matrix[J, Q] u = partly_centered(z, mean, tau, w, tau_pilot);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  target += sum((1 - w) * log(tau)); // z is stretched into u
  if (prior_only == 0) {
    y ~ grouped_binomial_logit_glm(trials, X_c, 0, beta, Z, place,
                                   to_vector(u));
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu, J);
  b += group_level(U, effect_of, append_row(0, beta));
  b += partly_centered(z, b, tau, w, tau_pilot);
}
