// Gelman and Hill (2007), section 12.2: one regression for all counties.
data {
  int<lower=1> N;
  vector[N] floor_measure;
  vector[N] log_radon;
}
parameters {
  real alpha;
  real beta;
  real<lower=0> sigma;
}
model {
  alpha ~ normal(0, 10);
  beta ~ normal(0, 10);
  sigma ~ exponential(1);
  log_radon ~ normal(alpha + beta * floor_measure, sigma);
}
