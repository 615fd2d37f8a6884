// Families whose mean is a probability, with the logit, probit or cloglog link.

namespace stanpool {

// Links. `logs` gives log(p) and log(1 - p) with their slopes in eta; `means` gives p and 1 - p, both to the last digits
// also where they are small, and the slope of p.

struct Logit {
  STANPOOL_INLINE static void means(const double* eta, double* p, double* rest, double* slope) {
    double e[kBlock];
    for (int i = 0; i < kBlock; ++i) e[i] = -std::fabs(eta[i]);
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) p[i] = eta[i] > 0 ? 1.0 : e[i];
    for (int i = 0; i < kBlock; ++i) rest[i] = eta[i] > 0 ? e[i] : 1.0;
    for (int i = 0; i < kBlock; ++i) {
      const double inverse = 1 / (1 + e[i]);
      p[i] *= inverse;
      rest[i] *= inverse;
      slope[i] = p[i] * rest[i];
    }
  }

  STANPOOL_INLINE static void logs(const double* eta, double* log_p, double* log_rest, double* slope,
                                   double* slope_rest) {
    double e[kBlock];
    for (int i = 0; i < kBlock; ++i) e[i] = -std::fabs(eta[i]);
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) slope[i] = eta[i] > 0 ? e[i] : 1.0;
    for (int i = 0; i < kBlock; ++i) slope_rest[i] = eta[i] > 0 ? -1.0 : -e[i];
    for (int i = 0; i < kBlock; ++i) {
      const double inverse = 1 / (1 + e[i]);
      slope[i] *= inverse;
      slope_rest[i] *= inverse;
      e[i] = log1p_inside(e[i]);
    }
    for (int i = 0; i < kBlock; ++i) log_p[i] = (eta[i] > 0 ? 0.0 : eta[i]) - e[i];
    for (int i = 0; i < kBlock; ++i) log_rest[i] = (eta[i] > 0 ? -eta[i] : 0.0) - e[i];
  }
};

struct Probit {
  // The smaller of both probabilities is e * tail, e = exp(-eta^2 / 2), and the larger is 1 - e * tail.
  STANPOOL_INLINE static void parts(const double* eta, double* e, double* tail) {
    for (int i = 0; i < kBlock; ++i) e[i] = -0.5 * eta[i] * eta[i];
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) tail[i] = scaled_normal_tail(std::fabs(eta[i]));
  }

  STANPOOL_INLINE static void means(const double* eta, double* p, double* rest, double* slope) {
    double e[kBlock], tail[kBlock];
    parts(eta, e, tail);
    for (int i = 0; i < kBlock; ++i) slope[i] = kNormalAtZero * e[i];
    for (int i = 0; i < kBlock; ++i) e[i] *= tail[i];
    for (int i = 0; i < kBlock; ++i) p[i] = eta[i] > 0 ? 1 - e[i] : e[i];
    for (int i = 0; i < kBlock; ++i) rest[i] = eta[i] > 0 ? e[i] : 1 - e[i];
  }

  STANPOOL_INLINE static void logs(const double* eta, double* log_p, double* log_rest, double* slope,
                                   double* slope_rest) {
    double e[kBlock], tail[kBlock], small[kBlock], large[kBlock], in_tail[kBlock], in_rest[kBlock];
    parts(eta, e, tail);
    for (int i = 0; i < kBlock; ++i) {
      const double p = 1 - e[i] * tail[i];
      in_tail[i] = kNormalAtZero / tail[i];
      in_rest[i] = kNormalAtZero * e[i] / p;
      small[i] = log_normal_number(tail[i]) - 0.5 * eta[i] * eta[i];
      large[i] = log_normal_number(p);
    }
    for (int i = 0; i < kBlock; ++i) log_p[i] = eta[i] > 0 ? large[i] : small[i];
    for (int i = 0; i < kBlock; ++i) log_rest[i] = eta[i] > 0 ? small[i] : large[i];
    for (int i = 0; i < kBlock; ++i) slope[i] = eta[i] > 0 ? in_rest[i] : in_tail[i];
    for (int i = 0; i < kBlock; ++i) slope_rest[i] = eta[i] > 0 ? -in_tail[i] : -in_rest[i];
  }
};

struct Cloglog {
  // With h = exp(eta), 1 - p is exp(-h). Where h is small, p is h * (1 - exp(-h)) / h, by a series.
  STANPOOL_INLINE static void parts(const double* eta, double* h, double* rest, double* share) {
    for (int i = 0; i < kBlock; ++i) h[i] = eta[i];
    exp_block(h);
    for (int i = 0; i < kBlock; ++i) rest[i] = -h[i];
    exp_block(rest);
    for (int i = 0; i < kBlock; ++i) rest[i] = h[i] < 708 ? rest[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) share[i] = share_within(h[i] < 0.5 ? h[i] : 0.5);
  }

  STANPOOL_INLINE static void means(const double* eta, double* p, double* rest, double* slope) {
    double h[kBlock], share[kBlock];
    parts(eta, h, rest, share);
    for (int i = 0; i < kBlock; ++i) p[i] = h[i] < 0.5 ? h[i] * share[i] : 1 - rest[i];
    for (int i = 0; i < kBlock; ++i) slope[i] = h[i] * rest[i];
  }

  STANPOOL_INLINE static void logs(const double* eta, double* log_p, double* log_rest, double* slope,
                                   double* slope_rest) {
    double h[kBlock], rest[kBlock], share[kBlock], low[kBlock];
    parts(eta, h, rest, share);
    for (int i = 0; i < kBlock; ++i) slope[i] = h[i] < 0.5 ? 1.0 : h[i];
    for (int i = 0; i < kBlock; ++i) share[i] = h[i] < 0.5 ? share[i] : 1 - rest[i];
    for (int i = 0; i < kBlock; ++i) low[i] = h[i] < 0.5 ? eta[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) {
      slope[i] *= rest[i] / share[i];
      log_p[i] = low[i] + log_normal_number(share[i]);
      log_rest[i] = slope_rest[i] = -h[i];
    }
  }
};

// log(1 / (1 + exp(-x))), x = eta or -eta, as y is 1 or 0; the slope in x is 1 / (1 + exp(x)).
struct BernoulliLogit : Family<int> {
  using Family::Family;

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double*) const {
    double sign[kBlock], x[kBlock], low[kBlock], e[kBlock];
    rows.copy(of.y, sign);
    for (int i = 0; i < kBlock; ++i) sign[i] = 2 * sign[i] - 1;
    for (int i = 0; i < kBlock; ++i) x[i] = sign[i] * eta[i];
    for (int i = 0; i < kBlock; ++i) low[i] = x[i] < 0 ? x[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) e[i] = -std::fabs(x[i]);
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) slope[i] = x[i] < 0 ? 1.0 : e[i];
    for (int i = 0; i < kBlock; ++i) slope[i] *= sign[i] / (1 + e[i]);
    rows.weigh(slope);
    if (of.weights) {
      for (int i = 0; i < kBlock; ++i) low[i] -= log1p_inside(e[i]);
      return rows.weighted_sum(low);
    }
    for (int i = 0; i < kBlock; ++i) e[i] = 1 + rows.weight[i] * e[i];
    return rows.weighted_sum(low) - sum_log(e);
  }
};

template <typename Link>
struct Bernoulli : Family<int> {
  using Family::Family;

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double*) const {
    double y[kBlock], log_p[kBlock], log_rest[kBlock], slope_rest[kBlock];
    rows.copy(of.y, y);
    Link::logs(eta, log_p, log_rest, slope, slope_rest);
    for (int i = 0; i < kBlock; ++i) log_p[i] = y[i] > 0 ? log_p[i] : log_rest[i];
    for (int i = 0; i < kBlock; ++i) slope[i] = y[i] > 0 ? slope[i] : slope_rest[i];
    rows.weigh(slope);
    return rows.weighted_sum(log_p);
  }
};

// y * log(p) + (trials - y) * log(1 - p).
template <typename Link>
struct Binomial : Family<int> {
  const int* trials;
  Binomial(const Counts& outcomes, const std::vector<int>& tried) : Family(outcomes), trials(tried.data()) {}

  double constant() const {
    return of.weighted_sum([this](int n) { return stan::math::binomial_coefficient_log(trials[n], of.y[n]); });
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double*) const {
    double y[kBlock], missed[kBlock], log_p[kBlock], log_rest[kBlock], slope_rest[kBlock];
    rows.copy(of.y, y);
    rows.copy(trials, missed);
    for (int i = 0; i < kBlock; ++i) missed[i] -= y[i];
    Link::logs(eta, log_p, log_rest, slope, slope_rest);
    for (int i = 0; i < kBlock; ++i) log_p[i] = y[i] * log_p[i] + missed[i] * log_rest[i];
    for (int i = 0; i < kBlock; ++i) slope[i] = y[i] * slope[i] + missed[i] * slope_rest[i];
    rows.weigh(slope);
    return rows.weighted_sum(log_p);
  }
};

// Shape parameters, which are not 0: there is no density.
STANPOOL_INLINE void shapes(double phi, const double* p, double* shape) {
  for (int i = 0; i < kBlock; ++i) shape[i] = phi * p[i];
  for (int i = 0; i < kBlock; ++i) shape[i] = shape[i] > 2.3e-308 ? shape[i] : 2.3e-308;
}

// With shapes a = p * phi and b = (1 - p) * phi, log(gamma(phi) / (gamma(a) * gamma(b))) and
// (a - 1) * log(y) + (b - 1) * log(1 - y).
template <typename Link>
struct Beta : Family<double> {
  double phi;
  Beta(const Amounts& outcomes, double own) : Family(outcomes), phi(own) {}

  void check(const char* function) const { stan::math::check_positive_finite(function, "phi", phi); }

  double constant() const {
    return -of.weighted_sum(
        [this](int n) { return std::log(of.y[n]) + std::log1p(-of.y[n]) + stan::math::LOG_TWO_PI; });
  }

  double rest(double* own) const {
    const double total = of.total_weight();
    own[0] += total * stan::math::digamma(phi);
    return total * stan::math::lgamma(phi);
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    double p[kBlock], rest[kBlock], a[kBlock], b[kBlock], log_gamma_a[kBlock], log_gamma_b[kBlock], digamma_a[kBlock],
        digamma_b[kBlock], log_y[kBlock], log_other[kBlock];
    Link::means(eta, p, rest, slope);
    shapes(phi, p, a);
    shapes(phi, rest, b);
    log_gamma_block(a, log_gamma_a, digamma_a);
    log_gamma_block(b, log_gamma_b, digamma_b);
    rows.copy(of.y, log_y, 0.5);
    for (int i = 0; i < kBlock; ++i) {
      log_other[i] = log_normal_number(1 - log_y[i]);
      log_y[i] = log_normal_number(log_y[i]);
      const double of_a = log_y[i] - digamma_a[i], of_b = log_other[i] - digamma_b[i];
      slope[i] *= phi * (of_a - of_b);
      log_y[i] = a[i] * log_y[i] + b[i] * log_other[i] - log_gamma_a[i] - log_gamma_b[i];
      p[i] = p[i] * of_a + rest[i] * of_b;
    }
    rows.weigh(slope);
    own[0] += rows.weighted_sum(p);
    return rows.weighted_sum(log_y);
  }
};

// With the same shapes, log(gamma(a + y) / gamma(a)) + log(gamma(b + trials - y) / gamma(b)), less
// log(gamma(phi + trials) / gamma(phi)).
template <typename Link>
struct BetaBinomial : Family<int> {
  const int* trials;
  double phi;
  BetaBinomial(const Counts& outcomes, const std::vector<int>& tried, double own)
      : Family(outcomes), trials(tried.data()), phi(own) {}

  void check(const char* function) const { stan::math::check_positive_finite(function, "phi", phi); }

  double constant() const {
    return of.weighted_sum([this](int n) { return stan::math::binomial_coefficient_log(trials[n], of.y[n]); });
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    double p[kBlock], rest[kBlock], shape[kBlock], y[kBlock], tried[kBlock], log_a[kBlock], log_b[kBlock],
        log_all[kBlock], of_a[kBlock], of_b[kBlock], of_all[kBlock];
    Link::means(eta, p, rest, slope);
    rows.copy(of.y, y);
    rows.copy(trials, tried);
    for (int i = 0; i < kBlock; ++i) shape[i] = phi;
    log_rising_block(shape, tried, log_all, of_all);
    shapes(phi, p, shape);
    log_rising_block(shape, y, log_a, of_a);
    for (int i = 0; i < kBlock; ++i) y[i] = tried[i] - y[i];
    shapes(phi, rest, shape);
    log_rising_block(shape, y, log_b, of_b);
    for (int i = 0; i < kBlock; ++i) {
      slope[i] *= phi * (of_a[i] - of_b[i]);
      log_a[i] += log_b[i] - log_all[i];
      p[i] = p[i] * of_a[i] + rest[i] * of_b[i] - of_all[i];
    }
    rows.weigh(slope);
    own[0] += rows.weighted_sum(p);
    return rows.weighted_sum(log_a);
  }
};

}  // namespace stanpool

STANPOOL_GLM(bernoulli_logit, lpmf, stanpool::BernoulliLogit)
STANPOOL_GLM(bernoulli_probit, lpmf, stanpool::Bernoulli<stanpool::Probit>)
STANPOOL_GLM(bernoulli_cloglog, lpmf, stanpool::Bernoulli<stanpool::Cloglog>)
STANPOOL_GLM(binomial_logit, lpmf, stanpool::Binomial<stanpool::Logit>)
STANPOOL_GLM(binomial_probit, lpmf, stanpool::Binomial<stanpool::Probit>)
STANPOOL_GLM(binomial_cloglog, lpmf, stanpool::Binomial<stanpool::Cloglog>)
STANPOOL_GLM(beta_logit, lpdf, stanpool::Beta<stanpool::Logit>)
STANPOOL_GLM(beta_probit, lpdf, stanpool::Beta<stanpool::Probit>)
STANPOOL_GLM(beta_cloglog, lpdf, stanpool::Beta<stanpool::Cloglog>)
STANPOOL_GLM(beta_binomial_logit, lpmf, stanpool::BetaBinomial<stanpool::Logit>)
STANPOOL_GLM(beta_binomial_probit, lpmf, stanpool::BetaBinomial<stanpool::Probit>)
STANPOOL_GLM(beta_binomial_cloglog, lpmf, stanpool::BetaBinomial<stanpool::Cloglog>)
