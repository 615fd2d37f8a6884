"""Programs by hand that tests of the engine run; ``together.py`` compiles them."""

from __future__ import annotations

from stanpool.engine.values.program import StanProgram

# theta | y ~ Beta(2 + 3, 3 + 7), z ~ normal(0, SD), independent of each other.
DRIVER = StanProgram(
    "driver_test",
    """
data {
  int<lower=0> N;
  array[N] int<lower=0, upper=1> y;
  vector<lower=0>[2] sd_z;
  int<lower=0, upper=1> impossible;
}
transformed data {
  real shift = normal_rng(0, 1);
}
parameters {
  real<lower=0, upper=1> theta;
  vector[2] z;
}
transformed parameters {
  real odds = theta / (1 - theta);
}
model {
  if (impossible) reject("nothing is possible here");
  theta ~ beta(2, 3);
  z ~ normal(0, sd_z);
  profile("likelihood") {
    y ~ bernoulli(theta);
  }
}
generated quantities {
  real twice = 2 * theta;
  real shifted = z[1] + shift;
  int<lower=0, upper=1> draw = bernoulli_rng(theta);
}
""",
)

# y ~ normal(mu + X beta, 1), mu ~ normal(0, 1), and knobs.
RUN = StanProgram(
    "run_test",
    """
data {
  int<lower=0> N, K;
  matrix[N, K] X;
  vector[N] y;
  array[K] int<lower=0> counts;
  int<lower=0> work; // how slow an evaluation is
  int<lower=0, upper=1> impossible;
  real edge; // beyond which nothing can be evaluated
}
parameters {
  real mu;
  vector[K] beta;
}
transformed parameters {
  real slow = 0;
  for (i in 1 : work) slow += 1e-300 * sin(mu + i);
}
model {
  if (impossible) reject("nothing is possible here");
  if (mu > edge) reject("mu is beyond the edge");
  mu ~ std_normal();
  beta ~ std_normal();
  y ~ normal(mu + X * beta + slow, 1);
}
generated quantities {
  array[2] matrix[3, 4] cube;
  for (i in 1 : 2)
    for (j in 1 : 3)
      for (k in 1 : 4) cube[i, j, k] = 100 * i + 10 * j + k;
}
""",
)

NO_PARAMETERS = StanProgram(
    "no_parameters",
    "generated quantities { real x = normal_rng(3, 1); int k = 7; }",
)
BY_HAND = (DRIVER, RUN, NO_PARAMETERS)
