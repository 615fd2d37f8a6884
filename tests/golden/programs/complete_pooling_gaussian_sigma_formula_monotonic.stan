// Complete pooling: one set of coefficients for every row.
//
//   y[n] ~ normal(eta[n], sigma[n])
//   eta[n] = alpha + X[n] * beta
//   log(sigma[n]) = alpha_sigma + X_sigma[n] * beta_sigma
//   beta_sigma = (beta_free_sigma, beta_m_sigma)
//   beta_m_sigma = departures of ordered levels from straight lines
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
  vector[K] x_bar; // the prior on the intercept applies at X = x_bar
  int<lower=0> K_sigma; // number of population predictors
  matrix[N, K_sigma] X_sigma; // population predictors
  int<lower=0, upper=K_sigma> K_free_sigma; // those with priors of their own
  int<lower=1> M_sigma; // number of monotonic effects
  array[M_sigma] int<lower=2> D_sigma; // number of steps of each
  int<lower=2> n_steps_sigma; // of all
  vector[K_sigma] x_bar_sigma; // where the prior on the intercept applies
  real log_unit; // logarithm of the unit of y
  real prior_Intercept_location;
  real<lower=0> prior_Intercept_scale;
  vector[K] prior_beta_location;
  vector<lower=0>[K] prior_beta_scale;
  real prior_Intercept_sigma_location;
  real<lower=0> prior_Intercept_sigma_scale;
  vector[K_free_sigma] prior_beta_sigma_location;
  vector<lower=0>[K_free_sigma] prior_beta_sigma_scale;
  vector<lower=0>[n_steps_sigma] prior_steps_sigma_shape;
  vector<lower=0>[n_steps_sigma] prior_steps_sigma_rate;
  int<lower=0, upper=1> prior_only; // 1: sample from the prior, without y
}
transformed data {
  matrix[N, K] X_c = X - rep_matrix(x_bar', N);
  matrix[N, K_sigma] X_c_sigma = X_sigma - rep_matrix(x_bar_sigma', N);
}
parameters {
  real alpha_c; // alpha at x_bar
  vector[K] beta;
  real<offset=log_unit> alpha_c_sigma; // alpha_sigma at x_bar_sigma
  vector[K_free_sigma] beta_free_sigma;
  vector<lower=0>[n_steps_sigma] steps_sigma; // relative to each other
}
transformed parameters {
  vector[n_steps_sigma - M_sigma] beta_m_sigma; // of levels between the ends
  beta_m_sigma = departures(tail(beta_free_sigma, M_sigma),
    steps_sigma, D_sigma);
  vector[K_sigma] beta_sigma = append_row(beta_free_sigma, beta_m_sigma);
}
model {
  alpha_c ~ normal(prior_Intercept_location, prior_Intercept_scale);
  beta ~ normal(prior_beta_location, prior_beta_scale);
  alpha_c_sigma ~ normal(prior_Intercept_sigma_location,
                         prior_Intercept_sigma_scale);
  beta_free_sigma ~ normal(prior_beta_sigma_location, prior_beta_sigma_scale);
  steps_sigma ~ gamma(prior_steps_sigma_shape, prior_steps_sigma_rate);
  if (prior_only == 0) {
    vector[N] eta_sigma = alpha_c_sigma + X_c_sigma * beta_sigma - log_unit;
    vector[N] sigma = exp(eta_sigma);
    y ~ normal_id_glm(X_c, alpha_c, beta, sigma);
  }
}
generated quantities {
  real alpha = alpha_c - dot_product(x_bar, beta); // intercept at X = 0
  real alpha_sigma = alpha_c_sigma - dot_product(x_bar_sigma, beta_sigma);
}
