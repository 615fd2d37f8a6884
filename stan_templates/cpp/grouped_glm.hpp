// Log likelihoods of generalized linear models with group effects, and their gradients.
//
//     eta[n] = alpha + X[n] * beta + sum over r of W[n, r] * u[place[r, n]]
//
// Stan builds several nodes of autodiff for each row; these build one for all rows. They go over the rows once, in
// blocks that stay in the processor's nearest cache, with plain doubles: eta, the log likelihood of each row and its
// slope in eta, and from the slopes the gradient with respect to alpha, beta and u.
//
// A family is a small struct, and the files that follow this one have one for each family and link. Each makes two
// functions, for rows without and with weights, which the programs also have in Stan; tests compare values and gradients.

namespace stanpool {

// The outcomes of all rows, whole or real numbers, and the rows' weights, null where there are none.
template <typename Number>
struct Outcomes {
  const Number* y;
  const double* weights;
  int rows;

  double weight(int n) const { return weights ? weights[n] : 1; }
  // The sum of what `number` gives for each row, times the row's weight.
  template <typename NumberOfRow>
  double weighted_sum(NumberOfRow number) const {
    double total = 0;
    for (int n = 0; n < rows; ++n) total += weight(n) * number(n);
    return total;
  }
  double total_weight() const {
    return weighted_sum([](int) { return 1.0; });
  }
};
using Counts = Outcomes<int>;
using Amounts = Outcomes<double>;

// Part of the rows: n of them from the row `first` on. Beyond these, a block has weights of 0. Of several predictors, the
// numbers of all rows of a block for the first one are followed by those for the second one.
struct Rows {
  int first, n, predictors;
  const double* weight;

  // Numbers of these rows, as doubles; beyond the rows `filler`.
  template <typename Number>
  STANPOOL_INLINE void copy(const Number* from, double* to, double filler = 0) const {
    for (int i = 0; i < n; ++i) to[i] = from[first + i];
    for (int i = n; i < kBlock; ++i) to[i] = filler;
  }
  STANPOOL_INLINE void weigh(double* x) const {
    for (int i = 0; i < kBlock; ++i) x[i] *= weight[i];
  }
  STANPOOL_INLINE double weighted_sum(double* x) const {
    weigh(x);
    return sum(x);
  }
};

// What families have unless they say something else.
template <typename Number>
struct Family {
  Outcomes<Number> of;
  explicit Family(const Outcomes<Number>& outcomes) : of(outcomes) {}

  void check(const char*) const {}
  // What is constant in the log likelihood of all rows.
  double constant() const { return 0; }
  // What the family's own parameters, such as a residual scale, add to the log likelihood of all rows together. It is
  // called when all rows have added the slopes in these parameters to `own`, one after the other, and adds what it has.
  double rest(double*) const { return 0; }
  // And `block` returns the log likelihood of a block of rows, times their weights and without what is constant, with
  // its slopes in eta. It adds slopes in the own parameters to `own`.
};

// What eta is made of. Columns of X and W are n_rows apart; of alpha, beta and u there is a column for each predictor.
struct Predictor {
  const double* X;
  const double* W;
  const std::vector<std::vector<int>>& place;
  Eigen::Index n_rows;
  Eigen::VectorXd alpha;
  Eigen::MatrixXd beta;
  Eigen::MatrixXd u;
};

struct Gradient {
  Eigen::VectorXd alpha;
  Eigen::MatrixXd beta;
  Eigen::MatrixXd u;
  Eigen::VectorXd own;  // of the family's own parameters
};

STANPOOL_INLINE void fill_eta(const Predictor& at, int c, int first, int n, double* eta) {
  const double alpha = at.alpha[c];
  for (int i = 0; i < kBlock; ++i) eta[i] = i < n ? alpha : 0.0;
  for (Eigen::Index k = 0; k < at.beta.rows(); ++k) {
    const double* x = at.X + k * at.n_rows + first;
    const double beta = at.beta(k, c);
    for (int i = 0; i < n; ++i) eta[i] += x[i] * beta;
  }
  const double* u = at.u.data() + c * at.u.rows() - 1;  // places are counted from 1
  for (std::size_t r = 0; r < at.place.size(); ++r) {
    const double* w = at.W + r * at.n_rows + first;
    const int* place = at.place[r].data() + first;
    for (int i = 0; i < n; ++i) eta[i] += w[i] * u[place[i]];
  }
}

STANPOOL_INLINE void add_slopes(const Predictor& at, int c, int first, int n, double* slope, Gradient& gradient) {
  for (int i = n; i < kBlock; ++i) slope[i] = 0;
  gradient.alpha[c] += sum(slope);
  for (Eigen::Index k = 0; k < at.beta.rows(); ++k)
    gradient.beta(k, c) += dot(at.X + k * at.n_rows + first, slope, n);
  double* gradient_u = gradient.u.data() + c * at.u.rows() - 1;
  for (std::size_t r = 0; r < at.place.size(); ++r) {
    const double* w = at.W + r * at.n_rows + first;
    const int* place = at.place[r].data() + first;
    for (int i = 0; i < n; ++i) gradient_u[place[i]] += w[i] * slope[i];
  }
}

template <typename F>
STANPOOL_INLINE double add_blocks(const F& family, const double* weights, const Predictor& at, int begin, int end,
                                  Gradient& gradient) {
  const int predictors = at.beta.cols();
  std::vector<double> etas(predictors * kBlock), slopes(predictors * kBlock);
  double weight[kBlock], lp = 0;
  for (int first = begin; first < end; first += kBlock) {
    const int n = std::min<int>(kBlock, end - first);
    for (int i = 0; i < kBlock; ++i) weight[i] = i < n ? 1.0 : 0.0;
    if (weights)
      for (int i = 0; i < n; ++i) weight[i] = weights[first + i];
    for (int c = 0; c < predictors; ++c) fill_eta(at, c, first, n, &etas[c * kBlock]);
    lp += family.block(Rows{first, n, predictors, weight}, etas.data(), slopes.data(), gradient.own.data());
    for (int c = 0; c < predictors; ++c) add_slopes(at, c, first, n, &slopes[c * kBlock], gradient);
  }
  return lp;
}
template <typename F>
double add_rows(const F& family, const double* weights, const Predictor& at, int begin, int end, Gradient& gradient) {
  return add_blocks(family, weights, at, begin, end, gradient);
}
template <typename F>
STANPOOL_AVX2 double add_rows_avx2(const F& family, const double* weights, const Predictor& at, int begin, int end,
                                   Gradient& gradient) {
  return add_blocks(family, weights, at, begin, end, gradient);
}

template <typename F>
double add_all_rows(const F& family, const double* weights, const Predictor& at, Gradient& gradient) {
  // Each slice has a gradient of its own, so it should have more rows than there are numbers in that.
  const Eigen::Index least = std::max<Eigen::Index>(4096, 8 * at.u.size());
  const int slices = number_of_slices(at.n_rows, least);
  std::vector<double> lps(slices);
  std::vector<Gradient> gradients(slices, gradient);
  for_each_slice(slices, [&](int i) {
    const int begin = start_of_slice(i, slices, at.n_rows, kBlock);
    const int end = start_of_slice(i + 1, slices, at.n_rows, kBlock);
    lps[i] = has_avx2() ? add_rows_avx2(family, weights, at, begin, end, gradients[i])
                        : add_rows(family, weights, at, begin, end, gradients[i]);
  });
  double lp = 0;
  for (int i = 0; i < slices; ++i) {
    lp += lps[i];
    gradient.alpha += gradients[i].alpha;
    gradient.beta += gradients[i].beta;
    gradient.u += gradients[i].u;
    gradient.own += gradients[i].own;
  }
  return lp + family.rest(gradient.own.data());
}

// The value of an argument: doubles, or whole numbers, which stay where they are.
inline const std::vector<int>& plain(const std::vector<int>& x) { return x; }
template <typename T>
auto plain(const T& x) {
  return stan::math::eval(stan::math::value_of(x));
}

// How many numbers of an argument have slopes. None of whole numbers do.
inline Eigen::Index numbers_in(const std::vector<int>&) { return 0; }
template <typename T>
Eigen::Index numbers_in(const T& x) {
  return stan::math::size(x);
}

template <std::size_t Place, typename Node, typename Values>
void set_partials(Node& node, const Values& values) {
  auto&& partials = stan::math::partials<Place>(node);
  for (Eigen::Index k = 0; k < values.size(); ++k) partials[k] = values[k];
}

// Those of the family's own parameters, which follow each other in `values` and, in the node, alpha, beta and u.
template <std::size_t Place, typename Node>
void set_own_partials(Node&, const double*) {}
template <std::size_t Place, typename Node, typename First, typename... Others>
void set_own_partials(Node& node, const double* values, const First& first, const Others&... others) {
  const Eigen::Index size = numbers_in(first);
  if constexpr (!stan::is_constant<First>::value)
    set_partials<Place>(node, Eigen::Map<const Eigen::VectorXd>(values, size));
  set_own_partials<Place + 1>(node, values + size, others...);
}

template <bool propto, typename F, typename Of, typename X, typename Alpha, typename Beta, typename W, typename U,
          typename... Own>
stan::return_type_t<Alpha, Beta, U, Own...> log_likelihood(const char* function, const Of& of, const X& x,
                                                           const Alpha& alpha, const Beta& beta, const W& w,
                                                           const std::vector<std::vector<int>>& place, const U& u,
                                                           const Own&... own) {
  using stan::is_constant;
  if constexpr (!stan::math::include_summand<propto, Alpha, Beta, U, Own...>::value) return 0.0;
  const F family(of, plain(own)...);
  auto&& alpha_ref = stan::math::to_ref(alpha);
  auto&& beta_ref = stan::math::to_ref(beta);
  auto&& u_ref = stan::math::to_ref(u);
  Predictor at{x.data(), w.data(), place, x.rows(), {}, stan::math::value_of(beta_ref), stan::math::value_of(u_ref)};
  if constexpr (stan::is_stan_scalar<Alpha>::value)
    at.alpha = Eigen::VectorXd::Constant(1, stan::math::value_of(alpha_ref));
  else
    at.alpha = stan::math::value_of(alpha_ref).transpose();
  stan::math::check_finite(function, "intercept", at.alpha);
  stan::math::check_finite(function, "coefficients", at.beta);
  stan::math::check_finite(function, "group effects", at.u);
  family.check(function);

  const Eigen::Index numbers = (Eigen::Index{0} + ... + numbers_in(own));
  Gradient gradient{Eigen::VectorXd::Zero(at.alpha.size()), Eigen::MatrixXd::Zero(at.beta.rows(), at.beta.cols()),
                    Eigen::MatrixXd::Zero(at.u.rows(), at.u.cols()), Eigen::VectorXd::Zero(numbers)};
  double lp = add_all_rows(family, of.weights, at, gradient);
  if constexpr (stan::math::include_summand<propto>::value) lp += family.constant();

  auto node = stan::math::make_partials_propagator(alpha_ref, beta_ref, u_ref, own...);
  if constexpr (!is_constant<Alpha>::value) set_partials<0>(node, gradient.alpha);
  if constexpr (!is_constant<Beta>::value) stan::math::partials<1>(node) = gradient.beta;
  if constexpr (!is_constant<U>::value) stan::math::partials<2>(node) = gradient.u;
  set_own_partials<3>(node, gradient.own.data(), own...);
  return node.build(lp);
}

// The arguments as programs give them: the own parameters, X, alpha, beta, W, place, u, and a stream.
template <bool propto, typename F, typename Of, typename Arguments, std::size_t... Own>
auto log_likelihood_of(const char* function, const Of& of, const Arguments& given, std::index_sequence<Own...>) {
  constexpr std::size_t after = sizeof...(Own);
  return log_likelihood<propto, F>(function, of, std::get<after>(given), std::get<after + 1>(given),
                                   std::get<after + 2>(given), std::get<after + 3>(given), std::get<after + 4>(given),
                                   std::get<after + 5>(given), std::get<Own>(given)...);
}
template <bool propto, typename F, typename Of, typename... Arguments>
auto grouped_glm(const char* function, const Of& of, const Arguments&... given) {
  return log_likelihood_of<propto, F>(function, of, std::forward_as_tuple(given...),
                                      std::make_index_sequence<sizeof...(Arguments) - 7>());
}

inline Counts outcomes(const std::vector<int>& y, const double* weights) {
  return {y.data(), weights, static_cast<int>(y.size())};
}
template <typename Y>
Amounts outcomes(const Y& y, const double* weights) {
  return {y.data(), weights, static_cast<int>(y.size())};
}

}  // namespace stanpool

// Defines what programs call grouped_NAME_glm and, with weights, weighted_NAME_glm.
#define STANPOOL_GLM(NAME, DENSITY, FAMILY)                                                               \
  template <bool propto, typename Y, typename... Rest>                                                    \
  auto grouped_##NAME##_glm_##DENSITY(const Y& y, const Rest&... rest) {                                  \
    return stanpool::grouped_glm<propto, FAMILY>("grouped_" #NAME "_glm", stanpool::outcomes(y, nullptr), \
                                                 rest...);                                                \
  }                                                                                                       \
  template <bool propto, typename Y, typename V, typename... Rest>                                        \
  auto weighted_##NAME##_glm_##DENSITY(const Y& y, const V& weights, const Rest&... rest) {               \
    return stanpool::grouped_glm<propto, FAMILY>("weighted_" #NAME "_glm",                                \
                                                 stanpool::outcomes(y, weights.data()), rest...);         \
  }
