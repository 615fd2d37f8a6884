// Complete pooling: one set of coefficients for every row.
//
//   y[n] is c with probability Phi(cutpoint[c] - eta[n]), given
//   that it is c or more
//   eta[n] = X[n] * beta
functions {
  // y ~ bernoulli(Phi(eta)), exact in both tails
  real bernoulli_probit_lpmf(array[] int y, vector eta) {
    return normal_lcdf((2 * to_vector(y) - 1) .* eta | 0, 1);
  }
  real bernoulli_probit_lpmf(int y, real eta) {
    return normal_lcdf((2 * y - 1) * eta | 0, 1);
  }
  // y = c, given that y >= c, with probability Phi(cutpoint[c] - eta):
  // of the rows that reach c, some stop there and the others go on
  real sratio_probit_lpmf(array[] int y, vector eta, vector cutpoint) {
    real lp = 0;
    for (c in 1 : rows(cutpoint)) {
      array[size(y)] int reached;
      array[size(y)] int stops;
      int found = 0;
      for (n in 1 : size(y)) {
        if (y[n] >= c) {
          found += 1;
          reached[found] = n;
          stops[found] = y[n] == c;
        }
      }
      lp += bernoulli_probit_lpmf(stops[1 : found] | cutpoint[c]
                                                   - eta[reached[1 : found]]);
    }
    return lp;
  }
  real sratio_probit_lpmf(int y, real eta, vector cutpoint) {
    real lp = 0;
    for (c in 1 : rows(cutpoint)) {
      if (y >= c) {
        lp += bernoulli_probit_lpmf(y == c | cutpoint[c] - eta);
      }
    }
    return lp;
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
  vector<lower=0>[C - 1] prior_cutpoint_df;
  vector[C - 1] prior_cutpoint_location;
  vector<lower=0>[C - 1] prior_cutpoint_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  vector[K] beta;
  vector[C - 1] cutpoint_c; // cutpoints at X = x_bar
}
model {
  beta ~ normal(prior_beta_location, prior_beta_scale);
  cutpoint_c ~ student_t(prior_cutpoint_df, prior_cutpoint_location,
                         prior_cutpoint_scale);
  if (prior_only == 0) {
    vector[N] eta = X_c * beta;
    y ~ sratio_probit(eta, cutpoint_c);
  }
}
generated quantities {
  vector[C - 1] cutpoint = cutpoint_c + dot_product(x_bar, beta); // at X = 0
}
