// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sqrt(square(sigma) + var_x[n]))
//   eta[n] = alpha + X[n] * beta
//            + sum over unknown values of beta[column] * (true value - in_X)
//   true values of x ~ normal(mean_x, sd_x)
//   seen ~ normal(true value, seen_error)
//   unknown values are integrated out, and add var_x[n] to the variance
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
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
  real<lower=0> sigma; // residual scale
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  mean_x ~ normal(prior_mean_x_location, prior_mean_x_scale);
  sd_x ~ exponential(prior_sd_x_rate);
  sigma ~ exponential(prior_sigma_rate);
  if (prior_only == 0) {
    vector[n_seen] seen_mean = mean_x[seen_of];
    seen ~ normal(seen_mean, hypot(sd_x[seen_of], seen_error));
    // means of true values, the weights that these have given what was
    // observed, and how far true values then are from in_X
    vector[n_unknown] expected = mean_x[unknown_of];
    vector[n_unknown] weight = inv(1 + precision .* square(sd_x[unknown_of]));
    vector[n_unknown] shift = weight .* (expected - in_X);
    vector[n_unknown] slope = beta[column[unknown_of]];
    vector[n_unknown] moves = slope .* shift;
    vector[n_unknown] spreads = square(slope .* sd_x[unknown_of]) .* weight;
    vector[N] x_effect = rep_vector(0, N);
    vector[N] var_x = rep_vector(0, N);
    for (i in 1 : n_unknown) {
      x_effect[unknown_row[i]] += moves[i];
      var_x[unknown_row[i]] += spreads[i];
    }
    vector[N] scale = sqrt(square(sigma) + var_x);
    y ~ normal_id_glm(X_c, alpha_c + x_effect, beta, scale);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
