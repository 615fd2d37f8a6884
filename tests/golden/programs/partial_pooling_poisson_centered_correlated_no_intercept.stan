// Partial pooling, centered: the groups' coefficients b[j] are drawn from a
// population whose mean, scales and correlations are learned.
//
//   y[n] ~ poisson(exp(eta[n]))
//   eta[n] = X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] ~ multi_normal(0, diag(tau) * Omega * diag(tau))
functions {
  // log density of the rows of u, each multi_normal(0, L * L')
  real multi_normal_rows_lpdf(matrix u, matrix L) {
    return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u')))
           - rows(u) * sum(log(diagonal(L)));
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
  // log mass of y[n] ~ poisson_log(eta[n]), eta[n] = alpha
  // + X[n] * beta + sum over r of W[n, r] * u[place[r, n]]
  real grouped_poisson_log_glm_lpmf(array[] int y, matrix X, real alpha,
                                    vector beta, matrix W,
                                    array[,] int place, vector u) {
    vector[size(y)] eta = alpha + X * beta;
    for (r in 1 : cols(W)) {
      eta += W[ : , r] .* u[place[r]];
    }
    return poisson_log_lupmf(y | eta);
  }
}
data {
  int<lower=1> N; // rows
  array[N] int<lower=0> y; // counts
  int<lower=0> K; // population predictors
  matrix[N, K] X;
  int<lower=1> J; // groups
  int<lower=1> Q; // varying coefficients
  array[N] int<lower=1, upper=J> group;
  matrix[N, Q] Z;
  array[Q] int<lower=1, upper=K + 1> mean_of; // mu in (0, beta)
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_Omega_shape;
  int<lower=0, upper=1> prior_only; // 1: leave y out
}
transformed data {
  matrix[N, K] X_c = X;
  array[Q, N] int place = places(group, J, Q, 0);
}
parameters {
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  cholesky_factor_corr[Q] L_Omega;
  matrix[J, Q] b;
}
transformed parameters {
  row_vector[Q] mu = append_row(0, beta)[mean_of]'; // means
}
model {
  matrix[J, Q] u = b - rep_matrix(mu, J); // deviations
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  L_Omega ~ lkj_corr_cholesky(prior_Omega_shape);
  u ~ multi_normal_rows(diag_pre_multiply(tau, L_Omega));
  if (prior_only == 0) {
    y ~ grouped_poisson_log_glm(X_c, 0, beta, Z, place, to_vector(u));
  }
}
generated quantities {
  matrix[Q, Q] Omega = multiply_lower_tri_self_transpose(L_Omega);
}
