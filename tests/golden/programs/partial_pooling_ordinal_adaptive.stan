// Partial pooling, adaptive: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are learned.
//
//   y[n] ~ ordered_logistic(eta[n], cutpoint)
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
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
  int<lower=2> C; // categories, in order
  array[N] int<lower=1, upper=C> y; // outcome
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  vector[K] x_bar; // the prior on the cutpoints applies at X = x_bar
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 1> mean_of; // mu in (0, beta)
  matrix<lower=0, upper=1>[J, Q] w; // 1: centered, 0: not
  vector<lower=0>[Q] tau_pilot; // a guess of tau
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  vector<lower=0>[C - 1] prior_cutpoint_df;
  vector[C - 1] prior_cutpoint_location;
  vector<lower=0>[C - 1] prior_cutpoint_scale;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  matrix[J, Q] z; // b / tau_pilot where w = 1
  ordered[C - 1] cutpoint_c; // cutpoints at X = x_bar
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_of]'; // means
}
model {
  matrix[J, Q] mean = rep_matrix(mu, J); // of b
  matrix[J, Q] u = partly_centered(z, mean, tau, w, tau_pilot);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  cutpoint_c ~ student_t(prior_cutpoint_df, prior_cutpoint_location,
                         prior_cutpoint_scale);
  for (q in 1 : Q) {
    u[ : , q] ~ normal(0, tau[q]);
  }
  target += sum((1 - w) * log(tau)); // z is stretched into u
  if (prior_only == 0) {
    vector[N] group_effect = rows_dot_product(Z, u[group]);
    vector[N] eta = group_effect + X_c * beta;
    y ~ ordered_logistic(eta, cutpoint_c);
  }
}
generated quantities {
  matrix[J, Q] b = rep_matrix(mu, J);
  b += partly_centered(z, b, tau, w, tau_pilot);
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
