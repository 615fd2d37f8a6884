// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma)
//   eta[n] = alpha + X[n] * beta
//   beta = (beta_free, beta_m)
//   beta_m = departures of ordered levels from straight lines
functions {
  /* How far the levels of monotonic effects that are between the lowest and
     the highest are from straight lines (Buerkner and Charpentier 2020).
     mean_step: mean steps between neighbouring levels.
     steps: how large the steps are relative to each other, of one effect
     after the other.
     D: the number of steps of each effect. */
  vector departures(vector mean_step, vector steps, array[] int D) {
    vector[size(steps) - size(D)] found;
    int step = 1;
    int level = 1;
    for (m in 1 : size(D)) {
      int inner = D[m] - 1;
      vector[D[m]] own = segment(steps, step, D[m]);
      vector[inner] line = linspaced_vector(inner, 1, inner);
      vector[inner] rise = D[m] / sum(own) * head(cumulative_sum(own), inner);
      found[level : level + inner - 1] = mean_step[m] * (rise - line);
      step += D[m];
      level += inner;
    }
    return found;
  }
}
data {
  int<lower=1> N; // number of rows
  vector[N] y; // outcome
  int<lower=0> K; // number of population predictors
  matrix[N, K] X; // population predictors
  int<lower=0, upper=K> K_free; // those with priors of their own
  int<lower=1> M; // number of monotonic effects
  array[M] int<lower=2> D; // number of steps of each
  int<lower=2> n_steps; // of all
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K_free] prior_beta_location;
  vector<lower=0>[K_free] prior_beta_scale;
  vector<lower=0>[n_steps] prior_steps_shape;
  vector<lower=0>[n_steps] prior_steps_rate;
  real<lower=0> prior_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K_free] beta_free;
  vector<lower=0>[n_steps] steps; // relative to each other
  real<lower=0> sigma; // residual scale
}
transformed parameters {
  vector[n_steps - M] beta_m; // of levels between the ends
  beta_m = departures(tail(beta_free, M),
    steps, D);
  vector[K] beta = append_row(beta_free, beta_m);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta_free ~ normal(prior_beta_location, prior_beta_scale);
  steps ~ gamma(prior_steps_shape, prior_steps_rate);
  sigma ~ exponential(prior_sigma_rate);
  if (prior_only == 0) {
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
}
