// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//            + sum over unknown values of beta[column] * (true value - in_X)
//   the log likelihood of row n is multiplied by weights[n]
//   true values of x ~ normal(mean_x, sd_x)
//   seen ~ normal(true value, seen_error)
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  vector<lower=0>[N] weights; // multiply the rows' log likelihoods
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=1> U; // number of predictors whose values are not all known
  array[U] int<lower=1, upper=K> column; // their columns of X
  int<lower=1> n_seen; // number of values that were observed
  array[n_seen] int<lower=1, upper=U> seen_of; // of which predictor
  vector[n_seen] seen;
  vector<lower=0>[n_seen] seen_error; // standard deviations of their errors
  int<lower=0> n_unknown; // number of true values that are not known
  array[n_unknown] int<lower=1, upper=U> unknown_of; // of which predictor
  array[n_unknown] int<lower=1, upper=N> unknown_row; // of which row
  vector[n_unknown] in_X; // what stands in X: what was observed, or a mean
  vector<lower=0>[n_unknown] precision; // of what was observed; 0 for nothing
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  vector[U] prior_mean_x_location;
  vector<lower=0>[U] prior_mean_x_scale;
  vector<lower=0>[U] prior_sd_x_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  vector[U] mean_x; // means of true values
  vector<lower=0>[U] sd_x; // their standard deviations
  vector[n_unknown] z_x; // standardized true values, given what was observed
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[n_unknown] true_x; // true values
  {
    // means of true values, the weights that these have given what was
    // observed, and how far true values then are from in_X
    vector[n_unknown] expected = mean_x[unknown_of];
    vector[n_unknown] weight = inv(1 + precision .* square(sd_x[unknown_of]));
    vector[n_unknown] shift = weight .* (expected - in_X);
    true_x = in_X + shift + sqrt(weight) .* sd_x[unknown_of] .* z_x;
  }
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  mean_x ~ normal(prior_mean_x_location, prior_mean_x_scale);
  sd_x ~ exponential(prior_sd_x_rate);
  sigma ~ exponential(prior_sigma_rate);
  z_x ~ std_normal(); // implies the distribution of true_x
  if (prior_only == 0) {
    vector[n_seen] seen_mean = mean_x[seen_of];
    seen ~ normal(seen_mean, hypot(sd_x[seen_of], seen_error));
    vector[n_unknown] moves = beta[column[unknown_of]] .* (true_x - in_X);
    vector[N] x_effect = rep_vector(0, N);
    for (i in 1 : n_unknown) {
      x_effect[unknown_row[i]] += moves[i];
    }
    vector[N] eta = alpha_c + x_effect + X_c * beta;
    for (n in 1 : N) {
      target += weights[n] * normal_lpdf(y[n] | eta[n], sigma);
    }
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
