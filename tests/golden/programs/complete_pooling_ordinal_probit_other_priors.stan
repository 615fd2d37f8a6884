// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ ordered_probit(eta[n], cutpoint)
//   eta[n] = X[n] * beta
functions {
  // log density of cutpoints if the probabilities of the categories are
  // dirichlet where eta = 0
  real induced_dirichlet_lpdf(vector cutpoint, real concentration) {
    int C = rows(cutpoint) + 1;
    vector[C - 1] below = Phi(cutpoint);
    vector[C] p = append_row(below, 1) - append_row(0, below);
    return dirichlet_lpdf(p | rep_vector(concentration, C))
           + std_normal_lpdf(cutpoint);
  }
  // y ~ ordered_probit(eta, cutpoint), exact in both tails
  real log_ordinal_probit(int y, real eta, vector cutpoint) {
    int C = rows(cutpoint) + 1;
    if (y == 1) {
      return normal_lcdf(cutpoint[1] - eta | 0, 1);
    }
    if (y == C) {
      return normal_lcdf(eta - cutpoint[C - 1] | 0, 1);
    }
    // seen from the side where the category is in the lower tail
    if (cutpoint[y - 1] - eta + cutpoint[y] - eta > 0) {
      return log_diff_exp(normal_lcdf(eta - cutpoint[y - 1] | 0, 1),
                          normal_lcdf(eta - cutpoint[y] | 0, 1));
    }
    return log_diff_exp(normal_lcdf(cutpoint[y] - eta | 0, 1),
                        normal_lcdf(cutpoint[y - 1] - eta | 0, 1));
  }
  real ordinal_probit_lpmf(int y, real eta, vector cutpoint) {
    return log_ordinal_probit(y, eta, cutpoint);
  }
  real ordinal_probit_lpmf(array[] int y, vector eta, vector cutpoint) {
    vector[size(y)] each;
    for (n in 1 : size(y)) {
      each[n] = log_ordinal_probit(y[n], eta[n], cutpoint);
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
    y ~ ordinal_probit(eta, cutpoint_c);
  }
}
generated quantities {
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
