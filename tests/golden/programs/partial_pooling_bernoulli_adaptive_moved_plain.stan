// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ bernoulli(inv_logit(eta[n]))
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//            + Z_2[n] * u_2[group_2[n]]
//   b[j] = mu + u[j]
//   u[j, q] ~ normal(0, tau[q])
//   b_2[j] = mu_2 + u_2[j]
//   u_2[j, q] ~ normal(0, tau_2[q])
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
  // deviations that are uncorrelated where predictors are 0. Where these are at
  // their origins, they are v * L', each about what those before it say, and so
  // they are there unit * z - mean if w = 1 (centered)
  matrix partly_centered(matrix z, matrix mean, matrix L, matrix w,
                         matrix unit, vector tau_pilot, matrix to_zero) {
    matrix[rows(z), cols(z)] v;
    for (q in 1 : cols(z)) {
      vector[rows(z)] known = v[ : , 1 : q - 1] * L[q, 1 : q - 1]';
      v[ : , q] = (unit[ : , q] .* z[ : , q]
                   - w[ : , q] .* (mean[ : , q] + known))
                  .* exp(log(L[q, q] / tau_pilot[q]) * (1 - w[ : , q]))
                  / L[q, q];
    }
    return v * (to_zero * L)';
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
  // log mass of y[n] ~ bernoulli_logit(eta[n]), eta[n] = alpha
  // + X[n] * beta + sum over r of W[n, r] * u[place[r, n]]
  real grouped_bernoulli_logit_glm_lpmf(array[] int y, matrix X, real alpha,
                                        vector beta, matrix W,
                                        array[,] int place, vector u) {
    vector[size(y)] eta = alpha + X * beta;
    for (r in 1 : cols(W)) {
      eta += W[ : , r] .* u[place[r]];
    }
    return bernoulli_logit_lupmf(y | eta);
  }
}
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
  array[Q] int<lower=1, upper=K + 2> about; // what z is centered about
  matrix<lower=0, upper=1>[J, Q] w; // 1: centered, 0: not
  matrix<lower=0>[J, Q] unit; // of z
  vector<lower=0>[Q] tau_pilot; // a guess of diagonal(L)
  matrix[Q, Q] to_zero; // from predictors' origins, of u
  int<lower=1> J_2; // groups
  int<lower=1> Q_2; // varying coefficients
  array[N] int<lower=1, upper=J_2> group_2;
  matrix[N, Q_2] Z_2;
  array[Q_2] int<lower=1, upper=K + 2> mean_of_2; // mu_2 in (0, alpha, beta)
  array[Q_2] int<lower=1, upper=K + 2> about_2; // what z_2 is centered about
  matrix<lower=0, upper=1>[J_2, Q_2] w_2; // 1: centered, 0: not
  matrix<lower=0>[J_2, Q_2] unit_2; // of z_2
  vector<lower=0>[Q_2] tau_pilot_2; // a guess of tau_2
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[Q_2] prior_tau_2_rate;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, Q + Q_2] W = append_col(Z, Z_2);
  array[Q + Q_2, N] int place = append_array(places(group, J, Q, 0),
                                             places(group_2, J_2, Q_2, J * Q));
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // b / unit where w = 1, at the origins
  vector<lower=0>[Q_2] tau_2; // population scales
  matrix[J_2, Q_2] z_2; // b_2 / unit_2 where w_2 = 1
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_of]'; // means
  row_vector[Q] mu_c = append_row([0, alpha_c]', beta)[about]';
  // L * L' is the covariance of deviations at the origins
  matrix[Q, Q] L = qr_thin_R(diag_pre_multiply(tau, inverse(to_zero)'))';
  row_vector[Q_2] mu_2 = append_row([0, alpha]', beta)[mean_of_2]'; // means
  row_vector[Q_2] mu_c_2 = append_row([0, alpha_c]', beta)[about_2]';
}
model {
  matrix[J, Q] mean = rep_matrix(mu_c, J); // of b at x_bar
  matrix[J, Q] u = partly_centered(z, mean, L, w, unit, tau_pilot, to_zero);
  matrix[J_2, Q_2] mean_2 = rep_matrix(mu_c_2, J_2); // of b_2 at x_bar
  matrix[J_2, Q_2] u_2 = partly_centered(z_2, mean_2, tau_2, w_2, unit_2,
                                         tau_pilot_2);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  tau_2 ~ exponential(prior_tau_2_rate);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  target += sum((1 - w) * log(diagonal(L))); // z is stretched into u
  for (q in 1 : Q_2) {
    u_2[ : , q] ~ normal(0, tau_2[q]);
  }
  target += sum((1 - w_2) * log(tau_2)); // z_2 is stretched into u_2
  if (prior_only == 0) {
    y ~ grouped_bernoulli_logit_glm(X_c, alpha_c, beta, W, place,
                                    append_row(to_vector(u), to_vector(u_2)));
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu_c, J);
  b += partly_centered(z, b, L, w, unit, tau_pilot, to_zero);
  b += rep_matrix(mu - mu_c, J); // at X = 0
  matrix[J_2, Q_2] b_2 = rep_matrix(mu_c_2, J_2);
  b_2 += partly_centered(z_2, b_2, tau_2, w_2, unit_2, tau_pilot_2);
  b_2 += rep_matrix(mu_2 - mu_c_2, J_2); // at X = 0
}
