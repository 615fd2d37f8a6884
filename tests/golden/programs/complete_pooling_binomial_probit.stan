// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ binomial(trials[n], Phi(eta[n]))
//   eta[n] = alpha + X[n] * beta
functions {
  // y ~ binomial(trials, Phi(eta)), exact in both tails
  real log_binomial_probit(int y, int trials, real eta) {
    return lchoose(trials, y) + y * normal_lcdf(eta | 0, 1)
           + (trials - y) * normal_lcdf(-eta | 0, 1);
  }
  real binomial_probit_lpmf(int y, int trials, real eta) {
    return log_binomial_probit(y, trials, eta);
  }
  real binomial_probit_lpmf(array[] int y, array[] int trials, vector eta) {
    vector[size(y)] each;
    for (n in 1 : size(y)) {
      each[n] = log_binomial_probit(y[n], trials[n], eta[n]);
    }
    return sum(each);
  }
}
data {
  int<lower=1> N; // number of rows
  array[N] int<lower=0> trials; // number of trials
  array[N] int<lower=0> y; // number of successes
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  if (prior_only == 0) {
    vector[N] eta = alpha_c + X_c * beta;
    y ~ binomial_probit(trials, eta);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
