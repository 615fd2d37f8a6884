// Families of outcomes that are categories, with an order or without.

namespace stanpool {

constexpr double kFar = 1e150;  // cutpoints that are not there: below the first category, and above the last one

// The probability of category c is F(cut[c] - eta) - F(cut[c - 1] - eta). With `low` and `high`, the ends of a row's
// category less eta, the link F gives its logarithm and its slopes in both.
template <typename Link>
struct Ordinal : Family<int> {
  struct Category {
    double low, high, log_width, of_width;
  };
  Eigen::VectorXd cut;
  std::vector<Category> categories;

  Ordinal(const Counts& outcomes, const Eigen::VectorXd& own) : Family(outcomes), cut(own) {
    for (Eigen::Index c = 0; c <= cut.size(); ++c) {
      const double low = c > 0 ? cut[c - 1] : -kFar, high = c < cut.size() ? cut[c] : kFar;
      categories.push_back({low, high, Link::log_width(high - low), Link::of_width(high - low)});
    }
  }

  void check(const char* function) const {
    stan::math::check_finite(function, "cutpoints", cut);
    stan::math::check_ordered(function, "cutpoints", cut);
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    double low[kBlock], high[kBlock], log_width[kBlock], of_width[kBlock], of_low[kBlock], of_high[kBlock];
    const int* y = of.y + rows.first;
    for (int i = 0; i < rows.n; ++i) {
      const Category& category = categories[y[i] - 1];
      low[i] = category.low - eta[i];
      high[i] = category.high - eta[i];
      log_width[i] = category.log_width;
      of_width[i] = category.of_width;
    }
    for (int i = rows.n; i < kBlock; ++i) {
      low[i] = -kFar;
      high[i] = kFar;
      log_width[i] = of_width[i] = 0;
    }
    const double lp = Link::block(rows, of.weights, low, high, log_width, of_low, of_high);
    for (int i = 0; i < kBlock; ++i) slope[i] = -of_low[i] - of_high[i];
    for (int i = 0; i < kBlock; ++i) of_low[i] -= of_width[i];
    for (int i = 0; i < kBlock; ++i) of_high[i] += of_width[i];
    rows.weigh(slope);
    rows.weigh(of_low);
    rows.weigh(of_high);
    // Cutpoints that are not there have slopes of 0, and may be added to any other.
    const int last = static_cast<int>(cut.size()) - 1;
    for (int i = 0; i < rows.n; ++i) {
      own[std::max(y[i] - 2, 0)] += of_low[i];
      own[std::min(y[i] - 1, last)] += of_high[i];
    }
    return lp;
  }
};

// F(high) - F(low) = F(high) * F(-low) * (1 - exp(low - high)), for which no large numbers are subtracted. The last
// factor is the same for all rows of a category.
struct OrderedLogistic {
  static double log_width(double width) { return stan::math::log1m_exp(-width); }
  static double of_width(double width) { return 1 / std::expm1(width); }

  STANPOOL_INLINE static double block(const Rows& rows, bool has_weights, const double* low, const double* high,
                                      double* term, double* of_low, double* of_high) {
    double e_low[kBlock], e_high[kBlock];
    for (int i = 0; i < kBlock; ++i) e_low[i] = -std::fabs(low[i]);
    for (int i = 0; i < kBlock; ++i) e_high[i] = -std::fabs(high[i]);
    exp_block(e_low);
    exp_block(e_high);
    for (int i = 0; i < kBlock; ++i) term[i] += low[i] > 0 ? -low[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) term[i] += high[i] > 0 ? 0.0 : high[i];
    for (int i = 0; i < kBlock; ++i) of_low[i] = low[i] > 0 ? -1.0 : -e_low[i];
    for (int i = 0; i < kBlock; ++i) of_high[i] = high[i] > 0 ? e_high[i] : 1.0;
    for (int i = 0; i < kBlock; ++i) {
      of_low[i] /= 1 + e_low[i];
      of_high[i] /= 1 + e_high[i];
      e_low[i] = (1 + e_low[i]) * (1 + e_high[i]);
    }
    if (has_weights) {
      for (int i = 0; i < kBlock; ++i) term[i] -= log_normal_number(e_low[i]);
      return rows.weighted_sum(term);
    }
    return rows.weighted_sum(term) - sum_log(e_low);
  }
};

// Seen from the side where both ends are farther out, the interval is from `near` to `far`, -near <= far. It has the
// probability exp(-near^2 / 2) * (t(near) - r * t(far)), r = exp((near^2 - far^2) / 2), where t is scaled_normal_tail;
// or, where 0 is in the interval, 1 - exp(-near^2 / 2) * (t(-near) + r * t(far)).
struct OrderedProbit {
  static double log_width(double) { return 0; }
  static double of_width(double) { return 0; }

  STANPOOL_INLINE static double block(const Rows& rows, bool, const double* low, const double* high, double* term,
                                      double* of_low, double* of_high) {
    double near[kBlock], far[kBlock], e[kBlock], r[kBlock], sign[kBlock], scale[kBlock];
    for (int i = 0; i < kBlock; ++i) near[i] = low[i] + high[i] < 0 ? -high[i] : low[i];
    for (int i = 0; i < kBlock; ++i) far[i] = low[i] + high[i] < 0 ? -low[i] : high[i];
    for (int i = 0; i < kBlock; ++i) e[i] = -0.5 * near[i] * near[i];
    for (int i = 0; i < kBlock; ++i) r[i] = -0.5 * (far[i] - near[i]) * (far[i] + near[i]);
    for (int i = 0; i < kBlock; ++i) term[i] = near[i] > 0 ? e[i] : 0.0;
    exp_block(e);
    exp_block(r);
    for (int i = 0; i < kBlock; ++i) scale[i] = near[i] > 0 ? 1.0 : e[i];
    for (int i = 0; i < kBlock; ++i) sign[i] = near[i] > 0 ? -1.0 : 1.0;
    for (int i = 0; i < kBlock; ++i) e[i] = near[i] > 0 ? 0.0 : 1.0;
    for (int i = 0; i < kBlock; ++i) {
      const double tails = scaled_normal_tail(std::fabs(near[i])) + sign[i] * r[i] * scaled_normal_tail(far[i]);
      const double p = e[i] - sign[i] * scale[i] * tails;
      term[i] += log_normal_number(p);
      of_high[i] = kNormalAtZero * scale[i] / p;
      of_low[i] = of_high[i] * r[i];
    }
    // Densities at the ends, over the probability: of `near` and of `far`.
    for (int i = 0; i < kBlock; ++i) e[i] = of_high[i];
    for (int i = 0; i < kBlock; ++i) r[i] = of_low[i];
    for (int i = 0; i < kBlock; ++i) of_low[i] = low[i] + high[i] < 0 ? -r[i] : -e[i];
    for (int i = 0; i < kBlock; ++i) of_high[i] = low[i] + high[i] < 0 ? e[i] : r[i];
    return rows.weighted_sum(term);
  }
};

// With h = exp(end), the probability is exp(-h_low) * (1 - exp(-d)), d = h_high - h_low. The last factor, d * share where
// d is small, is `rest`.
struct OrderedCloglog {
  static double log_width(double) { return 0; }
  static double of_width(double) { return 0; }

  STANPOOL_INLINE static double block(const Rows& rows, bool, const double* low, const double* high, double* term,
                                      double* of_low, double* of_high) {
    double d[kBlock], e[kBlock], rest[kBlock];
    for (int i = 0; i < kBlock; ++i) of_low[i] = low[i];
    for (int i = 0; i < kBlock; ++i) of_high[i] = high[i];
    exp_block(of_low);
    exp_block(of_high);
    for (int i = 0; i < kBlock; ++i) of_low[i] = low[i] > -708 ? of_low[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) d[i] = of_high[i] - of_low[i];
    for (int i = 0; i < kBlock; ++i) e[i] = -d[i];
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) e[i] = d[i] < 708 ? e[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) rest[i] = share_within(d[i] < 0.5 ? d[i] : 0.5);
    for (int i = 0; i < kBlock; ++i) rest[i] = d[i] < 0.5 ? d[i] * rest[i] : 1 - e[i];
    for (int i = 0; i < kBlock; ++i) {
      term[i] = log_normal_number(rest[i]) - of_low[i];
      of_high[i] *= e[i] / rest[i];
      of_low[i] /= -rest[i];
    }
    return rows.weighted_sum(term);
  }
};

// eta[c - 1] of category c, and 0 of the first one, the reference: eta of the outcome less the logarithm of the sum of
// exp(eta) of all.
struct CategoricalLogit : Family<int> {
  using Family::Family;

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double*) const {
    const int others = rows.predictors;
    double top[kBlock], total[kBlock], of_outcome[kBlock];
    const int* y = of.y + rows.first;
    for (int i = 0; i < kBlock; ++i) top[i] = of_outcome[i] = 0;
    for (int c = 0; c < others; ++c)
      for (int i = 0; i < kBlock; ++i) top[i] = eta[c * kBlock + i] > top[i] ? eta[c * kBlock + i] : top[i];
    for (int i = 0; i < kBlock; ++i) total[i] = -top[i];
    exp_block(total);
    for (int c = 0; c < others; ++c) {
      double* e = slope + c * kBlock;
      for (int i = 0; i < kBlock; ++i) e[i] = eta[c * kBlock + i] - top[i];
      exp_block(e);
      for (int i = 0; i < kBlock; ++i) total[i] += e[i];
    }
    for (int i = 0; i < rows.n; ++i)
      if (y[i] > 1) of_outcome[i] = eta[(y[i] - 2) * kBlock + i];
    for (int i = 0; i < kBlock; ++i) of_outcome[i] -= top[i] + log_normal_number(total[i]);
    for (int i = 0; i < kBlock; ++i) total[i] = -rows.weight[i] / total[i];
    for (int c = 0; c < others; ++c)
      for (int i = 0; i < kBlock; ++i) slope[c * kBlock + i] *= total[i];
    for (int i = 0; i < rows.n; ++i)
      if (y[i] > 1) slope[(y[i] - 2) * kBlock + i] += rows.weight[i];
    return rows.weighted_sum(of_outcome);
  }
};

}  // namespace stanpool

STANPOOL_GLM(ordinal_logit, lpmf, stanpool::Ordinal<stanpool::OrderedLogistic>)
STANPOOL_GLM(ordinal_probit, lpmf, stanpool::Ordinal<stanpool::OrderedProbit>)
STANPOOL_GLM(ordinal_cloglog, lpmf, stanpool::Ordinal<stanpool::OrderedCloglog>)
STANPOOL_GLM(categorical_logit, lpmf, stanpool::CategoricalLogit)
