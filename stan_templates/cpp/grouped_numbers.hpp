// Families of counts without an upper end, and of real numbers.

namespace stanpool {

// y * eta - exp(eta), whose slope is y - exp(eta).
struct PoissonLog : Family<int> {
  using Family::Family;

  double constant() const {
    return -of.weighted_sum([this](int n) { return stan::math::lgamma(of.y[n] + 1.0); });
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double*) const {
    double count[kBlock], e[kBlock], term[kBlock];
    rows.copy(of.y, count);
    for (int i = 0; i < kBlock; ++i) e[i] = eta[i];
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) term[i] = count[i] * eta[i] - e[i];
    for (int i = 0; i < kBlock; ++i) slope[i] = count[i] - e[i];
    rows.weigh(slope);
    return rows.weighted_sum(term);
  }
};

// With d = eta - log(phi), s = log(1 + exp(d)) and its slope p: y * (d - s) - phi * s, and for each row
// log(gamma(y + phi) / gamma(phi)), the sum of log(phi + i) over i below y. No large numbers are subtracted.
struct NegativeBinomialLog : Family<int> {
  double phi;
  NegativeBinomialLog(const Counts& outcomes, double own) : Family(outcomes), phi(own) {}

  static constexpr int kMost = 4096;  // larger counts are rare

  void check(const char* function) const { stan::math::check_positive_finite(function, "phi", phi); }

  double constant() const {
    return -of.weighted_sum([this](int n) { return stan::math::lgamma(of.y[n] + 1.0); });
  }

  double rest(double* own) const {
    std::vector<double> above(kMost + 1, 0.0);  // the weight of the rows whose counts are at least i
    double total = 0;
    for (int n = 0; n < of.rows; ++n) {
      const int count = of.y[n];
      if (count <= kMost) {
        above[count] += of.weight(n);
      } else {
        total += of.weight(n) * (stan::math::lgamma(count + phi) - stan::math::lgamma(phi));
        own[0] += of.weight(n) * (stan::math::digamma(count + phi) - stan::math::digamma(phi));
      }
    }
    for (int i = kMost; i > 0; --i) above[i - 1] += above[i];
    for (int i = 0; i < kMost && above[i + 1] > 0; ++i) {
      total += above[i + 1] * std::log(phi + i);
      own[0] += above[i + 1] / (phi + i);
    }
    return total;
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    const double log_phi = std::log(phi);
    double count[kBlock], d[kBlock], e[kBlock], s[kBlock], p[kBlock];
    rows.copy(of.y, count);
    for (int i = 0; i < kBlock; ++i) d[i] = eta[i] - log_phi;
    for (int i = 0; i < kBlock; ++i) e[i] = -std::fabs(d[i]);
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) s[i] = (d[i] > 0 ? d[i] : 0.0) + log1p_inside(e[i]);
    for (int i = 0; i < kBlock; ++i) p[i] = d[i] > 0 ? 1.0 : e[i];
    for (int i = 0; i < kBlock; ++i) p[i] /= 1 + e[i];
    for (int i = 0; i < kBlock; ++i) e[i] = p[i] - s[i] - count[i] * (1 - p[i]) / phi;
    own[0] += rows.weighted_sum(e);
    for (int i = 0; i < kBlock; ++i) slope[i] = count[i] * (1 - p[i]) - phi * p[i];
    rows.weigh(slope);
    for (int i = 0; i < kBlock; ++i) e[i] = count[i] * (d[i] - s[i]) - phi * s[i];
    return rows.weighted_sum(e);
  }
};

// Residual scales: one for all rows, or one for each group. Slopes are added in their logarithms, until `finish`.
class Scales {
 public:
  explicit Scales(double sigma) : sigma_(Eigen::VectorXd::Constant(1, sigma)), group_(nullptr) { prepare(); }
  Scales(const Eigen::VectorXd& sigma, const std::vector<int>& group) : sigma_(sigma), group_(group.data()) { prepare(); }

  void check(const char* function) const { stan::math::check_positive_finite(function, "sigma", sigma_); }

  STANPOOL_INLINE void copy(const Rows& rows, double* inverse, double* log_sigma) const {
    for (int i = 0; i < kBlock; ++i) inverse[i] = inverse_[0];
    for (int i = 0; i < kBlock; ++i) log_sigma[i] = log_[0];
    if (!group_) return;
    const int* group = group_ + rows.first;
    for (int i = 0; i < rows.n; ++i) inverse[i] = inverse_[group[i] - 1];
    for (int i = 0; i < rows.n; ++i) log_sigma[i] = log_[group[i] - 1];
  }
  STANPOOL_INLINE void add(const Rows& rows, const double* slope, double* own) const {
    if (!group_) {
      own[0] += sum(slope);
      return;
    }
    const int* group = group_ + rows.first;
    for (int i = 0; i < rows.n; ++i) own[group[i] - 1] += slope[i];
  }
  void finish(double* own) const {
    for (Eigen::Index j = 0; j < sigma_.size(); ++j) own[j] *= inverse_[j];
  }

 private:
  void prepare() {
    inverse_ = sigma_.array().inverse();
    log_ = sigma_.array().log();
  }
  Eigen::VectorXd sigma_, inverse_, log_;
  const int* group_;
};

// Outcomes that are normal about a mean. With z = (y - mean) / sigma: -z^2 / 2 - log(sigma).
template <typename Mean>
struct Normal : Family<double> {
  Scales scales;
  template <typename... Own>
  explicit Normal(const Amounts& outcomes, const Own&... own) : Family(outcomes), scales(own...) {}

  void check(const char* function) const { scales.check(function); }

  double constant() const {
    return of.weighted_sum([this](int n) { return Mean::constant(of.y[n]) - 0.5 * stan::math::LOG_TWO_PI; });
  }

  double rest(double* own) const {
    scales.finish(own);
    return 0;
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    double y[kBlock], mean[kBlock], inverse[kBlock], term[kBlock], of_sigma[kBlock];
    rows.copy(of.y, y, 1.0);
    Mean::transform(y);
    scales.copy(rows, inverse, term);
    Mean::of(eta, mean);
    for (int i = 0; i < kBlock; ++i) {
      const double z = (y[i] - mean[i]) * inverse[i];
      slope[i] = z * inverse[i];
      of_sigma[i] = z * z - 1;
      term[i] = -0.5 * z * z - term[i];
    }
    Mean::of_slopes(mean, slope);
    rows.weigh(slope);
    rows.weigh(of_sigma);
    scales.add(rows, of_sigma, own);
    return rows.weighted_sum(term);
  }
};

struct OfEta {
  static double constant(double) { return 0; }
  STANPOOL_INLINE static void transform(double*) {}
  STANPOOL_INLINE static void of(const double* eta, double* mean) {
    for (int i = 0; i < kBlock; ++i) mean[i] = eta[i];
  }
  STANPOOL_INLINE static void of_slopes(const double*, double*) {}
};
struct OfExpEta : OfEta {
  STANPOOL_INLINE static void of(const double* eta, double* mean) {
    for (int i = 0; i < kBlock; ++i) mean[i] = eta[i];
    exp_block(mean);
  }
  STANPOOL_INLINE static void of_slopes(const double* mean, double* slope) {
    for (int i = 0; i < kBlock; ++i) slope[i] *= mean[i];
  }
};
struct OfLogOutcome : OfEta {
  static double constant(double y) { return -std::log(y); }
  STANPOOL_INLINE static void transform(double* y) {
    for (int i = 0; i < kBlock; ++i) y[i] = log_normal_number(y[i]);
  }
};
using GaussianIdentity = Normal<OfEta>;
using GaussianLog = Normal<OfExpEta>;
using LognormalIdentity = Normal<OfLogOutcome>;

// -(nu + 1) / 2 * log(1 + z^2 / nu) - log(sigma), z = (y - eta) / sigma.
struct StudentTIdentity : Family<double> {
  double nu;
  Scales scales;
  template <typename... Own>
  StudentTIdentity(const Amounts& outcomes, double df, const Own&... own)
      : Family(outcomes), nu(df), scales(own...) {}

  void check(const char* function) const {
    stan::math::check_positive_finite(function, "nu", nu);
    scales.check(function);
  }

  double constant() const { return -0.5 * stan::math::LOG_PI * of.total_weight(); }

  double rest(double* own) const {
    using stan::math::digamma;
    using stan::math::lgamma;
    const double total = of.total_weight();
    own[0] += total * 0.5 * (digamma((nu + 1) / 2) - digamma(nu / 2) - 1 / nu);
    scales.finish(own + 1);
    return total * (lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * std::log(nu));
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    double y[kBlock], inverse[kBlock], log_sigma[kBlock], share[kBlock], log_q[kBlock];
    rows.copy(of.y, y);
    scales.copy(rows, inverse, log_sigma);
    for (int i = 0; i < kBlock; ++i) {
      const double z = (y[i] - eta[i]) * inverse[i];
      const double q = z * z / nu;
      slope[i] = (nu + 1) * z * inverse[i] / (nu * (1 + q));
      share[i] = (nu + 1) * q / (1 + q);
      log_q[i] = log_normal_number(1 + q);
    }
    rows.weigh(slope);
    const double logs = rows.weighted_sum(log_q), sigmas = rows.weighted_sum(log_sigma);
    for (int i = 0; i < kBlock; ++i) y[i] = share[i] - 1;
    rows.weigh(y);
    scales.add(rows, y, own + 1);
    own[0] += 0.5 * (rows.weighted_sum(share) / nu - logs);
    return -0.5 * (nu + 1) * logs - sigmas;
  }
};

// With m = y * exp(-eta): shape * (log(m) - m) - log(y), and shape * log(shape) - log(gamma(shape)) for each row.
struct GammaLog : Family<double> {
  double shape;
  GammaLog(const Amounts& outcomes, double own) : Family(outcomes), shape(own) {}

  void check(const char* function) const { stan::math::check_positive_finite(function, "shape", shape); }

  double constant() const {
    return -of.weighted_sum([this](int n) { return std::log(of.y[n]); });
  }

  double rest(double* own) const {
    const double total = of.total_weight();
    own[0] += total * (std::log(shape) + 1 - stan::math::digamma(shape));
    return total * (shape * std::log(shape) - stan::math::lgamma(shape));
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    double d[kBlock], m[kBlock];
    rows.copy(of.y, d, 1.0);
    for (int i = 0; i < kBlock; ++i) d[i] = log_normal_number(d[i]) - eta[i];
    for (int i = 0; i < kBlock; ++i) m[i] = d[i];
    exp_block(m);
    for (int i = 0; i < kBlock; ++i) slope[i] = shape * (m[i] - 1);
    for (int i = 0; i < kBlock; ++i) d[i] -= m[i];
    rows.weigh(slope);
    const double total = rows.weighted_sum(d);
    own[0] += total;
    return shape * total;
  }
};

// -eta - y * exp(-eta).
struct ExponentialLog : Family<double> {
  using Family::Family;

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double*) const {
    double y[kBlock], e[kBlock], term[kBlock];
    rows.copy(of.y, y);
    for (int i = 0; i < kBlock; ++i) e[i] = -eta[i];
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) term[i] = -eta[i] - y[i] * e[i];
    for (int i = 0; i < kBlock; ++i) slope[i] = y[i] * e[i] - 1;
    rows.weigh(slope);
    return rows.weighted_sum(term);
  }
};

// With d = log(y) - eta + log(gamma(1 + 1 / shape)): log(shape) + shape * d - exp(shape * d) - log(y).
struct WeibullLog : Family<double> {
  double shape;
  WeibullLog(const Amounts& outcomes, double own) : Family(outcomes), shape(own) {}

  void check(const char* function) const { stan::math::check_positive_finite(function, "shape", shape); }

  double constant() const {
    return -of.weighted_sum([this](int n) { return std::log(of.y[n]); });
  }

  double rest(double* own) const {
    const double total = of.total_weight();
    own[0] += total / shape;
    return total * std::log(shape);
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    const double log_gamma = stan::math::lgamma(1 + 1 / shape);
    const double of_log_gamma = stan::math::digamma(1 + 1 / shape) / shape;
    double d[kBlock], e[kBlock], term[kBlock], of_shape[kBlock];
    rows.copy(of.y, d, 1.0);
    for (int i = 0; i < kBlock; ++i) d[i] = log_normal_number(d[i]) - eta[i] + log_gamma;
    for (int i = 0; i < kBlock; ++i) e[i] = shape * d[i];
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) term[i] = shape * d[i] - e[i];
    for (int i = 0; i < kBlock; ++i) of_shape[i] = (1 - e[i]) * (d[i] - of_log_gamma);
    for (int i = 0; i < kBlock; ++i) slope[i] = shape * (e[i] - 1);
    own[0] += rows.weighted_sum(of_shape);
    rows.weigh(slope);
    return rows.weighted_sum(term);
  }
};

// log(shape / (2 * pi * y^3)) / 2 - shape * d^2 / (2 * y), d = y * exp(-eta) - 1.
struct InverseGaussianLog : Family<double> {
  double shape;
  InverseGaussianLog(const Amounts& outcomes, double own) : Family(outcomes), shape(own) {}

  void check(const char* function) const { stan::math::check_positive_finite(function, "shape", shape); }

  double constant() const {
    return -of.weighted_sum([this](int n) { return 0.5 * stan::math::LOG_TWO_PI + 1.5 * std::log(of.y[n]); });
  }

  double rest(double* own) const {
    const double total = of.total_weight();
    own[0] += 0.5 * total / shape;
    return 0.5 * total * std::log(shape);
  }

  STANPOOL_INLINE double block(const Rows& rows, const double* eta, double* slope, double* own) const {
    double y[kBlock], e[kBlock], square[kBlock];
    rows.copy(of.y, y, 1.0);
    for (int i = 0; i < kBlock; ++i) e[i] = -eta[i];
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) {
      const double d = y[i] * e[i] - 1;
      slope[i] = shape * d * e[i];
      square[i] = d * d / y[i];
    }
    rows.weigh(slope);
    const double squares = rows.weighted_sum(square);
    own[0] -= 0.5 * squares;
    return -0.5 * shape * squares;
  }
};

}  // namespace stanpool

STANPOOL_GLM(poisson_log, lpmf, stanpool::PoissonLog)
STANPOOL_GLM(negative_binomial_log, lpmf, stanpool::NegativeBinomialLog)
STANPOOL_GLM(gaussian_identity, lpdf, stanpool::GaussianIdentity)
STANPOOL_GLM(gaussian_log, lpdf, stanpool::GaussianLog)
STANPOOL_GLM(lognormal_identity, lpdf, stanpool::LognormalIdentity)
STANPOOL_GLM(student_t_identity, lpdf, stanpool::StudentTIdentity)
STANPOOL_GLM(gamma_log, lpdf, stanpool::GammaLog)
STANPOOL_GLM(exponential_log, lpdf, stanpool::ExponentialLog)
STANPOOL_GLM(weibull_log, lpdf, stanpool::WeibullLog)
STANPOOL_GLM(inverse_gaussian_log, lpdf, stanpool::InverseGaussianLog)
