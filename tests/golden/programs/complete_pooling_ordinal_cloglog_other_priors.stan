// Complete pooling: one set of coefficients for every row.
//
//   y[n] <= c with probability inv_cloglog(cutpoint[c] - eta[n])
//   eta[n] = X[n] * beta
functions {
  // log density of cutpoints if the probabilities of the categories are
  // dirichlet where eta = 0
  real induced_dirichlet_lpdf(vector cutpoint, real concentration) {
    int C = rows(cutpoint) + 1;
    vector[C - 1] below = inv_cloglog(cutpoint);
    vector[C] p = append_row(below, 1) - append_row(0, below);
    return dirichlet_lpdf(p | rep_vector(concentration, C))
           + sum(cutpoint - exp(cutpoint));
  }
  // y <= c with probability inv_cloglog(cutpoint[c] - eta), exact in both tails
  real log_ordinal_cloglog(int y, real eta, vector cutpoint) {
    int C = rows(cutpoint) + 1;
    if (y == 1) {
      return log1m_exp(-exp(cutpoint[1] - eta));
    }
    if (y == C) {
      return -exp(cutpoint[C - 1] - eta);
    }
    return log_diff_exp(-exp(cutpoint[y - 1] - eta), -exp(cutpoint[y] - eta));
  }
  real ordinal_cloglog_lpmf(int y, real eta, vector cutpoint) {
    return log_ordinal_cloglog(y, eta, cutpoint);
  }
  real ordinal_cloglog_lpmf(array[] int y, vector eta, vector cutpoint) {
    vector[size(y)] each;
    for (n in 1 : size(y)) {
      each[n] = log_ordinal_cloglog(y[n], eta[n], cutpoint);
    }
    return sum(each);
  }
}
data {
  int<lower=1> N; // number of rows
  int<lower=2> C; // number of categories, which are ordered
  array[N] int<lower=1, upper=C> y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the cutpoints applies at X = x_bar
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real<lower=0> prior_cutpoint_concentration;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  vector[K] beta;
  ordered[C - 1] cutpoint_c; // cutpoints at X = x_bar
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  cutpoint_c ~ induced_dirichlet(prior_cutpoint_concentration);
  if (prior_only == 0) {
    vector[N] eta = X_c * beta;
    y ~ ordinal_cloglog(eta, cutpoint_c);
  }
}
generated quantities {
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
