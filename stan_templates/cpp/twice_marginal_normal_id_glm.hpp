// Log density of groups of normal outcomes whose coefficients are integrated out, then those of a second factor, and its
// gradient.
//
// Given u_2 the groups have the density of marginal_normal_id_glm, of y[g] - A[g] * u_2; its log is quadratic in u_2. With
// w = inverse(S) * (y - X * theta), summed over groups and with what other rows add,
//
//     r = A' * w,  P = A' * inverse(S) * A,  u_2 = T * z,  M = identity_matrix + T' * P * T
//
// z ~ std_normal() leaves the factor exp(m' * T' * r / 2) / sqrt(|M|), m = inverse(M) * T' * r. Given y, u_2 is normal
// with mean u = T * m and covariance V = T * inverse(M) * T', and the gradient is the expectation of that given u_2
// (Fisher's identity): w - inverse(S) * A * u takes the place of w, and w * w' has inverse(S) * A * V * A' * inverse(S) added.
// That for T is the sum over blocks of (r - P * u) * m' - P * T * inverse(M).
//
// A is sparse, and P falls into components: groups of the second factor that no group of the first one connects, as where
// one factor is nested in the other, know nothing of each other. So no matrix is larger than such a component.
//
// It is the function of the same name in its .stanfunctions file; tests compare values and gradients.

namespace stanpool {

// A, as in Stan's csr_to_dense_matrix, one for each of the outcomes of a group; and A' * [y, X, A] of other rows.
struct SecondFactor {
  int Q;
  int columns;
  std::vector<const double*> a;
  const int* column;
  const int* first;
  const double* products;
  const double* products_of_A;
  const double* T;
  double v;

  STANPOOL_INLINE int begin(Eigen::Index g) const { return first[g] - 1; }
  STANPOOL_INLINE int end(Eigen::Index g) const { return first[g + 1] - 1; }
  STANPOOL_INLINE const double* rest(int column) const {
    return products_of_A + static_cast<std::size_t>(column) * columns;
  }
};

// Some columns whose coefficients depend on each other, given the outcome: whole groups of the second factor.
struct Component {
  std::vector<int> columns;
  std::vector<double> P;
  std::vector<double> V;
};

struct Components {
  std::vector<Component> all;
  std::vector<int> of;     // by column
  std::vector<int> place;  // of each number of A, among the columns of its component
};

// Groups of the second factor belong together if a group of the first one has rows of both.
inline Components components_of(const SecondFactor& second, Eigen::Index G) {
  const int Q = second.Q, J = second.columns / Q;
  std::vector<int> leader(J);
  for (int j = 0; j < J; ++j) leader[j] = j;
  const auto find = [&](int j) {
    while (leader[j] != j) j = leader[j] = leader[leader[j]];
    return j;
  };
  for (Eigen::Index g = 0; g < G; ++g) {
    for (int i = second.begin(g) + 1; i < second.end(g); ++i) {
      const int one = find((second.column[i - 1] - 1) / Q), other = find((second.column[i] - 1) / Q);
      leader[std::max(one, other)] = std::min(one, other);
    }
  }
  Components found;
  found.of.resize(second.columns);
  std::vector<int> place(second.columns);
  for (int j = 0; j < J; ++j) {
    const int first = find(j) * Q;
    if (first == j * Q) {
      found.of[first] = found.all.size();
      found.all.emplace_back();
    }
    for (int k = j * Q; k < (j + 1) * Q; ++k) {
      std::vector<int>& columns = found.all[found.of[k] = found.of[first]].columns;
      place[k] = columns.size();
      columns.push_back(k);
    }
  }
  found.place.resize(second.end(G - 1));
  for (std::size_t i = 0; i < found.place.size(); ++i) found.place[i] = place[second.column[i] - 1];
  return found;
}

// half = x * S and found = S' * x * S, where S has T in each block of its diagonal; or T', if it is transposed.
STANPOOL_INLINE void sandwich(const double* x, int size, const double* T, int Q, bool transposed, double* half,
                              double* found) {
  const auto t = [&](int a, int b) { return transposed ? T[b + a * Q] : T[a + b * Q]; };
  for (int before = 0; before < size; before += Q) {
    for (int b = 0; b < Q; ++b) {
      double* column = half + (before + b) * size;
      for (int i = 0; i < size; ++i) column[i] = 0;
      for (int a = 0; a < Q; ++a) {
        const double* from = x + (before + a) * size;
        const double by = t(a, b);
        for (int i = 0; i < size; ++i) column[i] += by * from[i];
      }
    }
  }
  for (int k = 0; k < size; ++k) {
    for (int before = 0; before < size; before += Q) {
      for (int b = 0; b < Q; ++b) {
        double total = 0;
        for (int a = 0; a < Q; ++a) total += t(a, b) * half[before + a + k * size];
        found[before + b + k * size] = total;
      }
    }
  }
}

// M becomes its inverse, by way of the inverse of its Cholesky factor; returns half the log of its determinant.
STANPOOL_INLINE double invert(double* M, int size, double* inverse_L) {
  double log_diagonal = 0;
  for (int k = 0; k < size; ++k) {
    double* L = M + k * size;
    if (!(L[k] > 0)) return std::numeric_limits<double>::quiet_NaN();
    const double root = std::sqrt(L[k]), inverse = 1 / root;
    log_diagonal += std::log(root);
    for (int i = k; i < size; ++i) L[i] *= inverse;
    for (int j = k + 1; j < size; ++j) {
      double* column = M + j * size;
      const double l = L[j];
      for (int i = j; i < size; ++i) column[i] -= l * L[i];
    }
  }
  for (int j = 0; j < size; ++j) {
    double* x = inverse_L + j * size;
    for (int i = j + 1; i < size; ++i) x[i] = 0;
    x[j] = 1;
    for (int k = j; k < size; ++k) {
      const double* L = M + k * size;
      x[k] /= L[k];
      for (int i = k + 1; i < size; ++i) x[i] -= L[i] * x[k];
    }
  }
  for (int j = 0; j < size; ++j)
    for (int i = j; i < size; ++i)
      M[i + j * size] = M[j + i * size] = dot(inverse_L + i + i * size, inverse_L + i + j * size, size - i);
  return log_diagonal;
}

// The log of what is left of a component's coefficients, and its gradient for T and v; P and r become V and u.
STANPOOL_INLINE double integrate(const SecondFactor& second, Component& component, std::vector<double>& r,
                                 double* gradient_T, double& gradient_v) {
  const int Q = second.Q, size = component.columns.size();
  std::vector<double> numbers(3 * size * size + 4 * size);
  double *PT = numbers.data(), *M = PT + size * size, *other = M + size * size, *own = other + size * size,
         *turned = own + size, *m = turned + size, *u = m + size;
  component.V.resize(size * size);
  double *P = component.P.data(), *V = component.V.data();
  for (int k = 0; k < size; ++k)
    for (int i = k + 1; i < size; ++i) P[k + i * size] = P[i + k * size];
  sandwich(P, size, second.T, Q, false, PT, M);
  for (int k = 0; k < size; ++k) M[k + k * size] += 1;
  const double half_log_determinant = invert(M, size, other);
  sandwich(M, size, second.T, Q, true, other, V);

  for (int k = 0; k < size; ++k) own[k] = r[component.columns[k]];
  for (int before = 0; before < size; before += Q)
    for (int b = 0; b < Q; ++b)
      for (int a = 0; a < Q; ++a) turned[before + b] += second.T[a + b * Q] * own[before + a];
  for (int k = 0; k < size; ++k) m[k] = dot(M + k * size, turned, size);
  for (int before = 0; before < size; before += Q)
    for (int b = 0; b < Q; ++b)
      for (int a = 0; a < Q; ++a) u[before + b] += second.T[b + a * Q] * m[before + a];

  double of_rest = 0;
  for (int before = 0; before < size; before += Q) {
    for (int a = 0; a < Q; ++a) {
      const int k = before + a;
      const double left = own[k] - dot(P + k * size, u, size);
      for (int b = 0; b < Q; ++b) {
        const double* inverse = M + (before + b) * size;
        double total = 0;
        for (int i = 0; i < size; ++i) total += PT[k + i * size] * inverse[i];
        gradient_T[a + b * Q] += left * m[before + b] - total;
      }
      const double* rest = second.rest(component.columns[k]);
      for (int i = 0; i < size; ++i) of_rest += (V[i + k * size] + u[i] * u[k]) * rest[component.columns[i]];
    }
  }
  gradient_v += of_rest / (2 * second.v * second.v);
  for (int k = 0; k < size; ++k) r[component.columns[k]] = u[k];
  return dot(turned, m, size) / 2 - half_log_determinant;
}

// r and P of the components have those of other rows; adds those of the groups. B = inverse(S) * A, as A is stored.
STANPOOL_INLINE void add_groups(const Groups& at, std::vector<Block>& blocks, const SecondFactor& second,
                                Components& components, std::vector<double>& r, std::vector<double>& B) {
  const std::size_t E = components.place.size();
  for (Eigen::Index g = 0; g < at.G; ++g) {
    const int begin = second.begin(g), end = second.end(g), i = g % kGroups;
    if (begin == end) continue;
    Block& block = blocks[g / kGroups];
    Component& component = components.all[components.of[second.column[begin] - 1]];
    const std::size_t size = component.columns.size();
    const int* place = components.place.data();
    for (int q = 0; q < at.Q; ++q) {
      double* b = B.data() + q * E;
      for (int s = 0; s < at.Q; ++s) {
        const double inverse_S = block.H(std::min(q, s), std::max(q, s))[i];
        const double* a = second.a[s];
        for (int k = begin; k < end; ++k) b[k] += inverse_S * a[k];
      }
      const double w = block.w(q)[i];
      const double* a = second.a[q];
      for (int k = begin; k < end; ++k) {
        double* column = component.P.data() + place[k] * size;
        r[second.column[k] - 1] += a[k] * w;
        for (int j = k; j < end; ++j) column[place[j]] += a[k] * b[j];
      }
    }
  }
}

// What is known of the groups given the second factor's coefficients, expected over these: changes w, and adds to H.
STANPOOL_INLINE void expect_groups(const Groups& at, std::vector<Block>& blocks, const SecondFactor& second,
                                   const Components& components, const std::vector<double>& u,
                                   const std::vector<double>& B) {
  const std::size_t E = components.place.size();
  for (Eigen::Index g = 0; g < at.G; ++g) {
    for (int q = 0; q < at.Q; ++q) {
      double total = 0;
      for (int k = second.begin(g); k < second.end(g); ++k) total += B[q * E + k] * u[second.column[k] - 1];
      blocks[g / kGroups].w(q)[g % kGroups] -= total;
    }
  }
  for (Eigen::Index first = 0; first < at.G; first += kGroups)
    finish_block(at, first, std::min<Eigen::Index>(kGroups, at.G - first), blocks[first / kGroups]);
  for (Eigen::Index g = 0; g < at.G; ++g) {
    const int begin = second.begin(g), end = second.end(g);
    if (begin == end) continue;
    const Component& component = components.all[components.of[second.column[begin] - 1]];
    const std::size_t size = component.columns.size();
    const int* place = components.place.data();
    for (int q = 0; q < at.Q; ++q) {
      for (int s = q; s < at.Q; ++s) {
        const double *b_q = B.data() + q * E, *b_s = B.data() + s * E;
        double total = 0;
        for (int k = begin; k < end; ++k) {
          const double* column = component.V.data() + place[k] * size;
          double product = 0;
          for (int j = begin; j < end; ++j) product += b_q[j] * column[place[j]];
          total += product * b_s[k];
        }
        blocks[g / kGroups].H(q, s)[g % kGroups] += total / 2;
      }
    }
  }
}

// What the density has of the arguments' values, and its gradient.
struct TwiceGradient {
  MarginalGradient of_groups;
  std::vector<double> T;
  double v;
};

STANPOOL_INLINE double add_all(const Groups& at, const SecondFactor& second, TwiceGradient& gradient) {
  const Eigen::Index D = at.theta.size();
  std::vector<Block> blocks((at.G + kGroups - 1) / kGroups, Block(at.Q));
  double lp = 0;
  for (Eigen::Index first = 0; first < at.G; first += kGroups)
    lp += factor_block(at, first, std::min<Eigen::Index>(kGroups, at.G - first), blocks[first / kGroups]);

  Components components = components_of(second, at.G);
  for (Component& component : components.all) {
    const std::size_t size = component.columns.size();
    component.P.resize(size * size);
    for (std::size_t k = 0; k < size; ++k)
      for (std::size_t i = k; i < size; ++i)
        component.P[i + k * size] = second.rest(component.columns[k])[component.columns[i]] / second.v;
  }
  std::vector<double> r_rest(second.products, second.products + second.columns);
  for (Eigen::Index d = 0; d < D; ++d)
    for (int k = 0; k < second.columns; ++k) r_rest[k] -= second.products[k + (1 + d) * second.columns] * at.theta[d];
  for (double& each : r_rest) each /= second.v;
  std::vector<double> r = r_rest, B(at.Q * components.place.size());
  add_groups(at, blocks, second, components, r, B);

  for (Component& component : components.all) lp += integrate(second, component, r, gradient.T.data(), gradient.v);
  if (!std::isfinite(lp)) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double>& u = r;
  gradient.v -= dot(u.data(), r_rest.data(), second.columns) / second.v;
  for (Eigen::Index d = 0; d < D; ++d)
    gradient.of_groups.theta[d] -= dot(second.products + (1 + d) * second.columns, u.data(), second.columns) / second.v;

  expect_groups(at, blocks, second, components, u, B);
  for (Eigen::Index first = 0; first < at.G; first += kGroups)
    add_gradient(at, first, std::min<Eigen::Index>(kGroups, at.G - first), blocks[first / kGroups], gradient.of_groups);
  return lp;
}
inline double add_both(const Groups& at, const SecondFactor& second, TwiceGradient& gradient) {
  return add_all(at, second, gradient);
}
STANPOOL_AVX2 inline double add_both_avx2(const Groups& at, const SecondFactor& second, TwiceGradient& gradient) {
  return add_all(at, second, gradient);
}

}  // namespace stanpool

template <bool propto, typename Y, typename X, typename Theta, typename Z, typename Sigma, typename V, typename Count,
          typename A, typename Products, typename T>
stan::return_type_t<Theta, Sigma, V, T> twice_marginal_normal_id_glm_lpdf(
    const Y& y, const X& x, const Theta& theta, const Z& z, const Sigma& sigma, const V& v, const Count& count, const A& a,
    const std::vector<int>& column, const std::vector<int>& first, const Products& products, const T& t, std::ostream*) {
  using stan::is_constant;
  if constexpr (!stan::math::include_summand<propto, Theta, Sigma, V, T>::value) return 0.0;
  auto&& theta_ref = stan::math::to_ref(theta);
  auto&& sigma_ref = stan::math::to_ref(sigma);
  auto&& t_ref = stan::math::to_ref(t);
  const double v_value = stan::math::value_of(v);
  const Eigen::MatrixXd T_value = stan::math::value_of(t_ref);
  const stanpool::Groups at =
      stanpool::groups_of(y, x, stan::math::value_of(theta_ref), z, stan::math::value_of(sigma_ref),
                          Eigen::VectorXd::Constant(count.size(), v_value), count);
  stanpool::SecondFactor second{static_cast<int>(T_value.rows()),
                                static_cast<int>(products.rows()),
                                {},
                                column.data(),
                                first.data(),
                                products.data(),
                                products.data() + (1 + at.theta.size()) * products.rows(),
                                T_value.data(),
                                v_value};
  for (const auto& each : a) second.a.push_back(each.data());
  Eigen::VectorXd gradient_v = Eigen::VectorXd::Zero(at.G);
  stanpool::TwiceGradient gradient{
      {Eigen::VectorXd::Zero(at.theta.size()), Eigen::MatrixXd::Zero(at.Q, at.Q), gradient_v.data()},
      std::vector<double>(T_value.size()),
      0};
  const double lp =
      stanpool::has_avx2() ? stanpool::add_both_avx2(at, second, gradient) : stanpool::add_both(at, second, gradient);

  auto node = stan::math::make_partials_propagator(theta_ref, sigma_ref, v, t_ref);
  if constexpr (!is_constant<Theta>::value) stan::math::partials<0>(node) = gradient.of_groups.theta;
  if constexpr (!is_constant<Sigma>::value) stan::math::partials<1>(node) = gradient.of_groups.Sigma;
  if constexpr (!is_constant<V>::value) stan::math::partials<2>(node)[0] = gradient.v + gradient_v.sum();
  if constexpr (!is_constant<T>::value)
    stan::math::partials<3>(node) = Eigen::Map<const Eigen::MatrixXd>(gradient.T.data(), T_value.rows(), T_value.cols());
  return node.build(lp);
}
