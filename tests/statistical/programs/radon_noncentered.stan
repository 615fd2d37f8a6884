// Gelman and Hill (2007), section 12.3: varying intercepts, noncentered.
data {
  int<lower=1> N;
  int<lower=1> J;
  array[N] int<lower=1, upper=J> county;
  vector[N] floor_measure;
  vector[N] log_radon;
}
parameters {
  vector[J] alpha_raw;
  real beta;
  real mu_alpha;
  real<lower=0> sigma_alpha;
  real<lower=0> sigma;
}
transformed parameters {
  vector[J] alpha = mu_alpha + sigma_alpha * alpha_raw;
}
model {
  mu_alpha ~ normal(0, 10);
  beta ~ normal(0, 10);
  sigma_alpha ~ exponential(1);
  sigma ~ exponential(1);
  alpha_raw ~ std_normal();
  log_radon ~ normal(alpha[county] + beta * floor_measure, sigma);
}
