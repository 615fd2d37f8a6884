// Log likelihoods of generalized linear models with group effects, and their gradients.
//
//     eta[n] = alpha + X[n] * beta + sum over r of W[n, r] * u[place[r, n]]
//
// Stan builds several nodes of autodiff for each row; these build one for all rows. They go over the rows once, in
// blocks that stay in the processor's nearest cache, with plain doubles: eta, the log likelihood of each row and its
// slope in eta, and from the slopes the gradient with respect to alpha, beta and u.
//
// Each function is the one of the same name in its .stanfunctions file; tests compare values and gradients.

namespace stanpool {

constexpr int kBlock = 256;  // rows

// exp of a block, as if nothing were beyond 708 or below -708. A loop for each step, or compilers see branches.
STANPOOL_INLINE void exp_block(double* x) {
  for (int i = 0; i < kBlock; ++i) x[i] = x[i] < 708.0 ? x[i] : 708.0;
  for (int i = 0; i < kBlock; ++i) x[i] = x[i] > -708.0 ? x[i] : -708.0;
  for (int i = 0; i < kBlock; ++i) x[i] = exp_inside(x[i]);
}

// The sum of a block, in lanes.
STANPOOL_INLINE double sum(const double* x) {
  double lanes[kLanes] = {};
  for (int i = 0; i < kBlock; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] += x[i + j];
  double total = 0;
  for (int j = 0; j < kLanes; ++j) total += lanes[j];
  return total;
}

// The sum of the logarithms of a block of numbers from 1 to 2: a logarithm for each lane, of the product.
STANPOOL_INLINE double sum_log(const double* x) {
  double lanes[kLanes] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (int i = 0; i < kBlock; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] *= x[i + j];
  double total = 0;
  for (int j = 0; j < kLanes; ++j) total += std::log(lanes[j]);
  return total;
}

// A family gives the log likelihood of a block of rows and its slopes in eta, without the terms that are constant, and
// adds its slopes in the family's own parameters, such as a residual scale, to `own`. `rest` is what these parameters
// add to the log likelihood of all rows together. Where a block is longer than the rows that are left, eta is -708,
// counts and weights are 0: such rows add nothing.

template <typename Numbers>
STANPOOL_INLINE void copy(const Numbers& from, int first, int n, double* to) {
  for (int i = 0; i < n; ++i) to[i] = from[first + i];
  for (int i = n; i < kBlock; ++i) to[i] = 0;
}

struct BernoulliLogit {
  const std::vector<int>& y;

  double constant() const { return 0; }
  double rest(double*) const { return 0; }

  // With x = eta or -eta, as y is 1 or 0: log(1 / (1 + exp(-x))), whose slope is 1 / (1 + exp(x)).
  STANPOOL_INLINE double block(int first, int n, const double* eta, double* slope, double*) const {
    double sign[kBlock], x[kBlock], low[kBlock], e[kBlock];
    copy(y, first, n, sign);
    for (int i = 0; i < kBlock; ++i) sign[i] = 2 * sign[i] - 1;
    for (int i = 0; i < kBlock; ++i) x[i] = sign[i] * eta[i];
    for (int i = 0; i < kBlock; ++i) low[i] = x[i] < 0 ? x[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) e[i] = -std::fabs(x[i]);
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) slope[i] = x[i] < 0 ? 1.0 : e[i];
    for (int i = 0; i < kBlock; ++i) e[i] += 1;
    for (int i = 0; i < kBlock; ++i) slope[i] *= sign[i] / e[i];
    return sum(low) - sum_log(e);
  }
};

// One trial for each row, and no weights, where there are none.
struct BinomialLogit {
  const std::vector<int>& y;
  const std::vector<int>* trials;
  const double* weights;

  double constant() const {
    double total = 0;
    for (std::size_t n = 0; trials && n < y.size(); ++n)
      total += (weights ? weights[n] : 1) * stan::math::binomial_coefficient_log((*trials)[n], y[n]);
    return total;
  }
  double rest(double*) const { return 0; }

  // y * eta - trials * log(1 + exp(eta)), whose slope is y - trials / (1 + exp(-eta)).
  STANPOOL_INLINE double block(int first, int n, const double* eta, double* slope, double*) const {
    double successes[kBlock], tried[kBlock], weight[kBlock], high[kBlock], e[kBlock], term[kBlock];
    copy(y, first, n, successes);
    if (trials)
      copy(*trials, first, n, tried);
    else
      for (int i = 0; i < kBlock; ++i) tried[i] = 1;
    if (weights) {
      copy(weights, first, n, weight);
      for (int i = 0; i < kBlock; ++i) successes[i] *= weight[i];
      for (int i = 0; i < kBlock; ++i) tried[i] *= weight[i];
    }
    for (int i = 0; i < kBlock; ++i) high[i] = eta[i] > 0 ? eta[i] : 0.0;
    for (int i = 0; i < kBlock; ++i) e[i] = -std::fabs(eta[i]);
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) term[i] = successes[i] * eta[i] - tried[i] * (high[i] + log1p_inside(e[i]));
    for (int i = 0; i < kBlock; ++i) slope[i] = eta[i] < 0 ? e[i] : 1.0;
    for (int i = 0; i < kBlock; ++i) slope[i] = successes[i] - tried[i] * slope[i] / (1 + e[i]);
    return sum(term);
  }
};

struct PoissonLog {
  const std::vector<int>& y;
  const double* weights;

  double constant() const {
    double total = 0;
    for (std::size_t n = 0; n < y.size(); ++n)
      total -= (weights ? weights[n] : 1) * stan::math::lgamma(y[n] + 1.0);
    return total;
  }
  double rest(double*) const { return 0; }

  // y * eta - exp(eta), whose slope is y - exp(eta).
  STANPOOL_INLINE double block(int first, int n, const double* eta, double* slope, double*) const {
    double count[kBlock], weight[kBlock], e[kBlock], term[kBlock];
    copy(y, first, n, count);
    for (int i = 0; i < kBlock; ++i) e[i] = eta[i];
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) term[i] = count[i] * eta[i] - e[i];
    for (int i = 0; i < kBlock; ++i) slope[i] = count[i] - e[i];
    if (weights) {
      copy(weights, first, n, weight);
      for (int i = 0; i < kBlock; ++i) term[i] *= weight[i];
      for (int i = 0; i < kBlock; ++i) slope[i] *= weight[i];
    }
    return sum(term);
  }
};

// With d = eta - log(phi), s = log(1 + exp(d)) and its slope p: y * (d - s) - phi * s, and for each row
// log(gamma(y + phi) / gamma(phi)), the sum of log(phi + i) over i below y. No large numbers are subtracted.
struct NegativeBinomialLog {
  const std::vector<int>& y;
  double phi;

  static constexpr int kMost = 4096;  // larger counts are rare

  double constant() const {
    double total = 0;
    for (int count : y) total -= stan::math::lgamma(count + 1.0);
    return total;
  }

  double rest(double* own) const {
    std::vector<double> above(kMost + 1, 0.0);  // how many rows have counts of at least i
    double total = 0;
    for (int count : y) {
      if (count <= kMost) {
        above[count] += 1;
      } else {
        total += stan::math::lgamma(count + phi) - stan::math::lgamma(phi);
        own[0] += stan::math::digamma(count + phi) - stan::math::digamma(phi);
      }
    }
    for (int i = kMost; i > 0; --i) above[i - 1] += above[i];
    for (int i = 0; i < kMost && above[i + 1] > 0; ++i) {
      total += above[i + 1] * std::log(phi + i);
      own[0] += above[i + 1] / (phi + i);
    }
    return total;
  }

  STANPOOL_INLINE double block(int first, int n, const double* eta, double* slope, double* own) const {
    const double log_phi = std::log(phi);
    double count[kBlock], d[kBlock], e[kBlock], s[kBlock], p[kBlock];
    copy(y, first, n, count);
    for (int i = 0; i < kBlock; ++i) d[i] = eta[i] - log_phi;
    for (int i = n; i < kBlock; ++i) d[i] = -708.0 - std::fabs(log_phi);
    for (int i = 0; i < kBlock; ++i) e[i] = -std::fabs(d[i]);
    exp_block(e);
    for (int i = 0; i < kBlock; ++i) s[i] = (d[i] > 0 ? d[i] : 0.0) + log1p_inside(e[i]);
    for (int i = 0; i < kBlock; ++i) p[i] = d[i] > 0 ? 1.0 : e[i];
    for (int i = 0; i < kBlock; ++i) p[i] /= 1 + e[i];
    for (int i = 0; i < kBlock; ++i) e[i] = p[i] - s[i] - count[i] * (1 - p[i]) / phi;
    own[0] += sum(e);
    for (int i = 0; i < kBlock; ++i) slope[i] = count[i] * (1 - p[i]) - phi * p[i];
    for (int i = 0; i < kBlock; ++i) e[i] = count[i] * (d[i] - s[i]) - phi * s[i];
    return sum(e);
  }
};

// -(nu + 1) / 2 * log(1 + z^2 / nu), z = (y - eta) / sigma.
struct StudentTIdentity {
  const double* y;
  Eigen::Index n_rows;
  double nu;
  double sigma;

  double constant() const { return -0.5 * n_rows * stan::math::LOG_PI; }

  double rest(double* own) const {
    using stan::math::digamma;
    using stan::math::lgamma;
    own[0] += n_rows * 0.5 * (digamma((nu + 1) / 2) - digamma(nu / 2) - 1 / nu);
    own[1] -= n_rows / sigma;
    return n_rows * (lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * std::log(nu) - std::log(sigma));
  }

  STANPOOL_INLINE double block(int first, int n, const double* eta, double* slope, double* own) const {
    double z[kBlock], q[kBlock], share[kBlock];
    for (int i = 0; i < n; ++i) z[i] = (y[first + i] - eta[i]) / sigma;
    for (int i = n; i < kBlock; ++i) z[i] = 0;
    for (int i = 0; i < kBlock; ++i) q[i] = z[i] * z[i] / nu;
    for (int i = 0; i < kBlock; ++i) slope[i] = (nu + 1) * z[i] / (sigma * nu * (1 + q[i]));
    for (int i = 0; i < kBlock; ++i) share[i] = q[i] / (1 + q[i]);
    for (int i = 0; i < kBlock; ++i) q[i] = log_normal_number(1 + q[i]);
    const double lp = -0.5 * (nu + 1) * sum(q), shares = (nu + 1) * sum(share);
    own[0] += lp / (nu + 1) + 0.5 * shares / nu;
    own[1] += shares / sigma;
    return lp;
  }
};

// log(y) is normal about eta.
struct LognormalIdentity {
  const double* y;
  Eigen::Index n_rows;
  double sigma;

  double constant() const {
    double total = -0.5 * n_rows * stan::math::LOG_TWO_PI;
    for (Eigen::Index n = 0; n < n_rows; ++n) total -= std::log(y[n]);
    return total;
  }

  double rest(double* own) const {
    own[0] -= n_rows / sigma;
    return -n_rows * std::log(sigma);
  }

  STANPOOL_INLINE double block(int first, int n, const double* eta, double* slope, double* own) const {
    double z[kBlock], square[kBlock];
    for (int i = 0; i < n; ++i) z[i] = (log_normal_number(y[first + i]) - eta[i]) / sigma;
    for (int i = n; i < kBlock; ++i) z[i] = 0;
    for (int i = 0; i < kBlock; ++i) slope[i] = z[i] / sigma;
    for (int i = 0; i < kBlock; ++i) square[i] = z[i] * z[i];
    const double squares = sum(square);
    own[0] += squares / sigma;
    return -0.5 * squares;
  }
};

// With m = y * exp(-eta): shape * (log(m) - m) - log(y), and shape * log(shape) - log(gamma(shape)) for each row.
struct GammaLog {
  const double* y;
  Eigen::Index n_rows;
  double shape;

  double constant() const {
    double total = 0;
    for (Eigen::Index n = 0; n < n_rows; ++n) total -= std::log(y[n]);
    return total;
  }

  double rest(double* own) const {
    own[0] += n_rows * (std::log(shape) + 1 - stan::math::digamma(shape));
    return n_rows * (shape * std::log(shape) - stan::math::lgamma(shape));
  }

  STANPOOL_INLINE double block(int first, int n, const double* eta, double* slope, double* own) const {
    double d[kBlock], m[kBlock];
    for (int i = 0; i < n; ++i) d[i] = log_normal_number(y[first + i]) - eta[i];
    for (int i = n; i < kBlock; ++i) d[i] = 0;
    for (int i = 0; i < kBlock; ++i) m[i] = d[i];
    exp_block(m);
    for (int i = 0; i < kBlock; ++i) slope[i] = shape * (m[i] - 1);
    for (int i = 0; i < n; ++i) d[i] -= m[i];
    const double total = sum(d);
    own[0] += total;
    return shape * total;
  }
};

// What eta is made of. Columns of X and W are n_rows apart.
struct Predictor {
  const double* X;
  const double* W;
  const std::vector<std::vector<int>>& place;
  Eigen::Index n_rows;
  double alpha;
  Eigen::VectorXd beta;
  Eigen::VectorXd u;
};

struct Gradient {
  double alpha;
  Eigen::VectorXd beta;
  Eigen::VectorXd u;
  double own[2];  // of the family's own parameters
};

template <typename Family>
STANPOOL_INLINE double add_block(const Family& family, const Predictor& at, int first, int n, Gradient& gradient) {
  double eta[kBlock], slope[kBlock];
  for (int i = 0; i < kBlock; ++i) eta[i] = i < n ? at.alpha : -708.0;
  for (Eigen::Index k = 0; k < at.beta.size(); ++k) {
    const double* x = at.X + k * at.n_rows + first;
    const double beta = at.beta[k];
    for (int i = 0; i < n; ++i) eta[i] += x[i] * beta;
  }
  const double* u = at.u.data() - 1;  // places are counted from 1
  for (std::size_t r = 0; r < at.place.size(); ++r) {
    const double* w = at.W + r * at.n_rows + first;
    const int* place = at.place[r].data() + first;
    for (int i = 0; i < n; ++i) eta[i] += w[i] * u[place[i]];
  }

  const double lp = family.block(first, n, eta, slope, gradient.own);

  for (int i = n; i < kBlock; ++i) slope[i] = 0;
  gradient.alpha += sum(slope);
  for (Eigen::Index k = 0; k < at.beta.size(); ++k)
    gradient.beta[k] += dot(at.X + k * at.n_rows + first, slope, n);
  double* gradient_u = gradient.u.data() - 1;
  for (std::size_t r = 0; r < at.place.size(); ++r) {
    const double* w = at.W + r * at.n_rows + first;
    const int* place = at.place[r].data() + first;
    for (int i = 0; i < n; ++i) gradient_u[place[i]] += w[i] * slope[i];
  }
  return lp;
}

template <typename Family>
STANPOOL_INLINE double add_blocks(const Family& family, const Predictor& at, int first, int last, Gradient& gradient) {
  double lp = 0;
  for (; first < last; first += kBlock)
    lp += add_block(family, at, first, std::min<int>(kBlock, last - first), gradient);
  return lp;
}
template <typename Family>
double add_rows(const Family& family, const Predictor& at, int first, int last, Gradient& gradient) {
  return add_blocks(family, at, first, last, gradient);
}
template <typename Family>
STANPOOL_AVX2 double add_rows_avx2(const Family& family, const Predictor& at, int first, int last,
                                   Gradient& gradient) {
  return add_blocks(family, at, first, last, gradient);
}

template <typename Family>
double add_all_rows(const Family& family, const Predictor& at, Gradient& gradient) {
  // Each slice has a gradient of its own, so it should have more rows than there are numbers in that.
  const Eigen::Index least = std::max<Eigen::Index>(4096, 8 * at.u.size());
  const int slices = number_of_slices(at.n_rows, least);
  std::vector<double> lps(slices);
  std::vector<Gradient> gradients(slices, gradient);
  for_each_slice(slices, [&](int i) {
    const int first = start_of_slice(i, slices, at.n_rows, kBlock);
    const int last = start_of_slice(i + 1, slices, at.n_rows, kBlock);
    lps[i] = has_avx2() ? add_rows_avx2(family, at, first, last, gradients[i])
                        : add_rows(family, at, first, last, gradients[i]);
  });
  double lp = 0;
  for (int i = 0; i < slices; ++i) {
    lp += lps[i];
    gradient.alpha += gradients[i].alpha;
    gradient.beta += gradients[i].beta;
    gradient.u += gradients[i].u;
    for (int k = 0; k < 2; ++k) gradient.own[k] += gradients[i].own[k];
  }
  return lp + family.rest(gradient.own);
}

template <bool propto, typename Family, typename X, typename Alpha, typename Beta, typename W, typename U,
          typename... Own>
stan::return_type_t<Alpha, Beta, U, Own...> grouped_glm(const char* function, const Family& family, const X& x,
                                                        const Alpha& alpha, const Beta& beta, const W& w,
                                                        const std::vector<std::vector<int>>& place, const U& u,
                                                        const Own&... own) {
  using stan::is_constant;
  if constexpr (!stan::math::include_summand<propto, Alpha, Beta, U, Own...>::value) return 0.0;
  auto&& beta_ref = stan::math::to_ref(beta);
  auto&& u_ref = stan::math::to_ref(u);
  const Predictor at{x.data(), w.data(), place, x.rows(), static_cast<double>(stan::math::value_of(alpha)),
                     stan::math::value_of(beta_ref), stan::math::value_of(u_ref)};
  stan::math::check_finite(function, "intercept", at.alpha);
  stan::math::check_finite(function, "coefficients", at.beta);
  stan::math::check_finite(function, "group effects", at.u);
  (stan::math::check_positive_finite(function, "own parameter", stan::math::value_of(own)), ...);

  Gradient gradient{0, Eigen::VectorXd::Zero(at.beta.size()), Eigen::VectorXd::Zero(at.u.size()), {0, 0}};
  double lp = add_all_rows(family, at, gradient);
  if constexpr (stan::math::include_summand<propto>::value) lp += family.constant();

  auto node = stan::math::make_partials_propagator(alpha, beta_ref, u_ref, own...);
  if constexpr (!is_constant<Alpha>::value) stan::math::partials<0>(node)[0] = gradient.alpha;
  if constexpr (!is_constant<Beta>::value) stan::math::partials<1>(node) = gradient.beta;
  if constexpr (!is_constant<U>::value) stan::math::partials<2>(node) = gradient.u;
  constexpr bool is_learned[] = {!is_constant<Own>::value..., false, false};
  if constexpr (is_learned[0]) stan::math::partials<3>(node)[0] = gradient.own[0];
  if constexpr (is_learned[1]) stan::math::partials<4>(node)[0] = gradient.own[1];
  return node.build(lp);
}

}  // namespace stanpool

template <bool propto, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U> grouped_bernoulli_logit_glm_lpmf(
    const std::vector<int>& y, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::BernoulliLogit family{y};
  return stanpool::grouped_glm<propto>("grouped_bernoulli_logit_glm", family, x, alpha, beta, w, place, u);
}

template <bool propto, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U> grouped_binomial_logit_glm_lpmf(
    const std::vector<int>& y, const std::vector<int>& trials, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::BinomialLogit family{y, &trials, nullptr};
  return stanpool::grouped_glm<propto>("grouped_binomial_logit_glm", family, x, alpha, beta, w, place, u);
}

template <bool propto, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U> grouped_poisson_log_glm_lpmf(
    const std::vector<int>& y, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::PoissonLog family{y, nullptr};
  return stanpool::grouped_glm<propto>("grouped_poisson_log_glm", family, x, alpha, beta, w, place, u);
}

template <bool propto, typename V, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U> weighted_bernoulli_logit_glm_lpmf(
    const std::vector<int>& y, const V& weights, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::BinomialLogit family{y, nullptr, weights.data()};
  return stanpool::grouped_glm<propto>("weighted_bernoulli_logit_glm", family, x, alpha, beta, w, place, u);
}

template <bool propto, typename V, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U> weighted_binomial_logit_glm_lpmf(
    const std::vector<int>& y, const V& weights, const std::vector<int>& trials, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::BinomialLogit family{y, &trials, weights.data()};
  return stanpool::grouped_glm<propto>("weighted_binomial_logit_glm", family, x, alpha, beta, w, place, u);
}

template <bool propto, typename V, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U> weighted_poisson_log_glm_lpmf(
    const std::vector<int>& y, const V& weights, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::PoissonLog family{y, weights.data()};
  return stanpool::grouped_glm<propto>("weighted_poisson_log_glm", family, x, alpha, beta, w, place, u);
}

template <bool propto, typename Phi, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U, Phi> grouped_negative_binomial_log_glm_lpmf(
    const std::vector<int>& y, const Phi& phi, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::NegativeBinomialLog family{y, static_cast<double>(stan::math::value_of(phi))};
  return stanpool::grouped_glm<propto>("grouped_negative_binomial_log_glm", family, x, alpha, beta, w, place, u, phi);
}

template <bool propto, typename Y, typename Nu, typename Sigma, typename X, typename Alpha, typename Beta, typename W,
          typename U>
stan::return_type_t<Alpha, Beta, U, Nu, Sigma> grouped_student_t_identity_glm_lpdf(
    const Y& y, const Nu& nu, const Sigma& sigma, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::StudentTIdentity family{y.data(), y.size(), static_cast<double>(stan::math::value_of(nu)),
                                          static_cast<double>(stan::math::value_of(sigma))};
  return stanpool::grouped_glm<propto>("grouped_student_t_identity_glm", family, x, alpha, beta, w, place, u, nu,
                                       sigma);
}

template <bool propto, typename Y, typename Sigma, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U, Sigma> grouped_lognormal_identity_glm_lpdf(
    const Y& y, const Sigma& sigma, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::LognormalIdentity family{y.data(), y.size(), static_cast<double>(stan::math::value_of(sigma))};
  return stanpool::grouped_glm<propto>("grouped_lognormal_identity_glm", family, x, alpha, beta, w, place, u, sigma);
}

template <bool propto, typename Y, typename Shape, typename X, typename Alpha, typename Beta, typename W, typename U>
stan::return_type_t<Alpha, Beta, U, Shape> grouped_gamma_log_glm_lpdf(
    const Y& y, const Shape& shape, const X& x, const Alpha& alpha, const Beta& beta, const W& w,
    const std::vector<std::vector<int>>& place, const U& u, std::ostream*) {
  const stanpool::GammaLog family{y.data(), y.size(), static_cast<double>(stan::math::value_of(shape))};
  return stanpool::grouped_glm<propto>("grouped_gamma_log_glm", family, x, alpha, beta, w, place, u, shape);
}
