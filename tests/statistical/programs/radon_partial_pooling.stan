// Gelman and Hill (2007), section 12.3: varying intercepts, centered.
data {
  int<lower=1> N;
  int<lower=1> J;
  array[N] int<lower=1, upper=J> county;
  vector[N] floor_measure;
  vector[N] log_radon;
}
parameters {
  vector[J] alpha;
  real beta;
  real mu_alpha;
  real<lower=0> sigma_alpha;
  real<lower=0> sigma;
}
model {
  mu_alpha ~ normal(0, 10);
  beta ~ normal(0, 10);
  sigma_alpha ~ exponential(1);
  sigma ~ exponential(1);
  alpha ~ normal(mu_alpha, sigma_alpha);
  log_radon ~ normal(alpha[county] + beta * floor_measure, sigma);
}
