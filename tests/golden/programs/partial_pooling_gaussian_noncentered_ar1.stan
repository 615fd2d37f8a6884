// Partial pooling, noncentered: the groups' coefficients b[j] are drawn from a
// population whose mean and scales are estimated.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + Z[n] * u[group[n]]
//   b[j] = mu + u[j]
//   u[j] = r * u[j - 1] + sqrt(1 - r^2) * v[j], and v[j] if j is
//     the first time of a series; r = rho_u^gap[j]
//   v[j, q] ~ normal(0, tau[q])
//
// mu: the population coefficients, from alpha and beta; 0 if there is none.
functions {
  // deviations of times, each series in the order of time: an autoregression
  // whose correlation over a gap is rho^gap, of independent deviations v;
  // gap[j] is the time since j - 1, or 0 where a series starts
  matrix ar1(matrix v, vector gap, real rho) {
    matrix[rows(v), cols(v)] u = v;
    for (j in 1 : rows(v)) {
      if (gap[j] > 0) {
        real r = rho ^ gap[j];
        u[j] = r * u[j - 1] + sqrt(1 - square(r)) * v[j];
      }
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
  // log density of all rows, where
  //   y[n] ~ normal(eta[n], sigma)
  //   eta[n] = alpha + X[n] * beta + sum over r of Z[n, r] * u[u_index[r, n]]
  real grouped_gaussian_identity_glm_lpdf(vector y, real sigma, matrix X,
                                          real alpha, vector beta, matrix Z,
                                          array[,] int u_index, vector u) {
    int N = size(y);
    vector[N] eta = alpha + X * beta;
    for (r in 1 : cols(Z)) {
      eta += Z[ : , r] .* u[u_index[r]];
    }
    return normal_lupdf(y | eta, sigma);
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of varying coefficients
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of the varying coefficients
  // the mean of each coefficient, by its position in (0, alpha, beta)
  array[Q] int<lower=1, upper=K + 2> mean_index;
  vector<lower=0>[J] gap; // time since j - 1; 0 where a series starts
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector<lower=0>[Q] prior_tau_rate;
  real<lower=0> prior_rho_u_a;
  real<lower=0> prior_rho_u_b;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  array[Q, N] int u_index = u_positions(group, J, Q, 0);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector<lower=0>[Q] tau; // population scales
  real<lower=0, upper=1> rho_u; // correlation over one unit of time
  matrix[J, Q] z; // standardized deviations of b
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  row_vector[Q] mu = append_row([0, alpha]', beta)[mean_index]'; // means
}
model {
  // deviations of groups from their means
  matrix[J, Q] u = ar1(diag_post_multiply(z, tau), gap, rho_u);
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  tau ~ exponential(prior_tau_rate);
  rho_u ~ beta(prior_rho_u_a, prior_rho_u_b);
  sigma ~ exponential(prior_sigma_rate);
  to_vector(z) ~ std_normal(); // implies the distribution of u
  if (prior_only == 0) {
    y ~ grouped_gaussian_identity_glm(sigma, X_c, alpha_c, beta, Z, u_index,
                                      to_vector(u));
  }
}
generated quantities {
  matrix[J, Q] b = ar1(diag_post_multiply(z, tau), gap, rho_u);
  b += rep_matrix(mu, J);
}
