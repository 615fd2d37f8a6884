// Neal's funnel, noncentered: the scale of x[d] is exp(v / 2), and there
// are no data (Neal 2003, Slice sampling, section 8).
//
//   v ~ normal(0, scale)
//   x[d] ~ normal(0, exp(v / 2))
data {
  int<lower=1> D; // dimensions of x
  real<lower=0> scale; // scale of v; 3 in Neal's example
}
parameters {
  real v; // log variance of x
  vector[D] z; // x, standardized
}
transformed parameters {
  vector[D] x = exp(v / 2) * z;
}
model {
  v ~ normal(0, scale);
  z ~ std_normal(); // so that x ~ normal(0, exp(v / 2))
}
