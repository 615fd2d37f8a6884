// No pooling: each group has its own coefficients b[j], with fixed priors, so
// that nothing is learned about one group from the others.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = X[n] * beta + Z[n] * b[group[n]]
functions {
  // coefficients with a regularized horseshoe prior, of standardized ones; a
  // slab bounds those that are large (Piironen and Vehtari 2017)
  vector horseshoe(vector z, vector local, real global, real slab,
                   vector global_scale, vector slab_scale) {
    vector[rows(z)] shrunk = square(global * global_scale .* local);
    vector[rows(z)] widest = slab * square(slab_scale);
    return z .* sqrt(shrunk .* widest ./ (shrunk + widest));
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
  vector[K] x_bar; // the priors on intercepts apply at X = x_bar, Z = z_bar
  int<lower=1> J; // number of groups
  int<lower=1> Q; // number of coefficients of each group
  array[N] int<lower=1, upper=J> group; // group of each row
  matrix[N, Q] Z; // predictors of these coefficients
  row_vector[Q] z_bar;
  vector<lower=0>[K] prior_beta_global_scale;
  vector<lower=0>[K] prior_beta_slab_df;
  vector<lower=0>[K] prior_beta_slab_scale;
  real<lower=0> prior_sigma_rate;
  vector[Q] prior_b_location;
  vector<lower=0>[Q] prior_b_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, Q] Z_c = Z - rep_matrix(z_bar, N);
  array[Q, N] int u_index = u_positions(group, J, Q, 0);
}
parameters {
  vector[K] beta_z; // standardized coefficients
  vector<lower=0>[K] beta_local; // scale of each coefficient
  real<lower=0> beta_global; // scale of all coefficients
  real<lower=0> beta_slab; // bounds the variance of large ones
  matrix[J, Q] b_c; // b at x_bar and z_bar
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[K] beta = horseshoe(beta_z, beta_local, beta_global, beta_slab,
                             prior_beta_global_scale, prior_beta_slab_scale);
}
model {
  sigma ~ exponential(prior_sigma_rate);
  for (q in 1 : Q) {
    b_c[ : , q] ~ normal(prior_b_location[q], prior_b_scale[q]);
  }
  beta_z ~ std_normal(); // implies the distribution of beta
  beta_local ~ cauchy(0, 1);
  beta_global ~ cauchy(0, 1);
  beta_slab ~ inv_gamma(0.5 * prior_beta_slab_df[1],
                        0.5 * prior_beta_slab_df[1]);
  if (prior_only == 0) {
    y ~ grouped_gaussian_identity_glm(sigma, X_c, 0, beta, Z_c, u_index,
                                      to_vector(b_c));
  }
}
generated quantities {
  matrix[J, Q] b = b_c; // intercepts at X = 0, Z = 0
  b[ : , 1] -= b_c * z_bar' + dot_product(x_bar, beta);
}
