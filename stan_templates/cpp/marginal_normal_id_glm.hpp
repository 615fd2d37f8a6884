// Log density of groups of normal outcomes whose coefficients are integrated out, and its gradient.
//
//     y[g] ~ multi_normal(X[g] * theta, S[g]),  S[g] = Z[g] * Sigma * Z[g]' + v[g] * identity_matrix(Q)
//
// for groups g of Q outcomes; as vectors, matrices and arrays of Q members, with a row for each group. With
// w = inverse(S) * (y - X * theta) and H = (w * w' - inverse(S)) / 2 the gradient is X' * w for theta, Z' * H * Z for
// Sigma and the trace of H for v. Stan builds several nodes of autodiff for each group and each step of Cholesky's
// factorisation; this builds one for all groups, with plain doubles, for a block of groups at the same time.
//
// It is the function of the same name in its .stanfunctions file; tests compare values and gradients.

namespace stanpool {

constexpr int kGroups = 64;  // of a block

// What the density is of, for Q outcomes of each group. Matrices have a row for each group.
struct Groups {
  int Q;
  Eigen::Index G;
  std::vector<const double*> y;
  std::vector<const double*> X;
  std::vector<const double*> Z;
  const double* count;
  Eigen::VectorXd theta;
  Eigen::MatrixXd Sigma;
  Eigen::VectorXd v;
};

// The gradient; that of v is one vector for all slices of the groups.
struct MarginalGradient {
  Eigen::VectorXd theta;
  Eigen::MatrixXd Sigma;
  double* v;
};

// Numbers of a block of groups: Q vectors and Q x Q matrices.
class Block {
 public:
  explicit Block(int Q) : Q_(Q), numbers_((2 * Q + 4 * Q * Q + 1) * kGroups) {}
  STANPOOL_INLINE double* e(int q) { return at(q); }                           // y - X * theta, then inverse(L) times it
  STANPOOL_INLINE double* w(int q) { return at(Q_ + q); }                      // inverse(S) * (y - X * theta)
  STANPOOL_INLINE double* S(int q, int r) { return at(2 * Q_ + q * Q_ + r); }  // then L and D of S = L * D * L'
  STANPOOL_INLINE double* M(int q, int r) { return at(2 * Q_ + (Q_ + q) * Q_ + r); }      // inverse(L), below its diagonal
  STANPOOL_INLINE double* H(int q, int r) { return at(2 * Q_ + (2 * Q_ + q) * Q_ + r); }  // as above, of q <= r
  STANPOOL_INLINE double* P(int q, int r) { return at(2 * Q_ + (3 * Q_ + q) * Q_ + r); }  // products with Z
  STANPOOL_INLINE double* one() { return at(2 * Q_ + 4 * Q_ * Q_); }

 private:
  STANPOOL_INLINE double* at(int vector) { return numbers_.data() + vector * kGroups; }
  int Q_;
  std::vector<double> numbers_;
};

STANPOOL_INLINE void set(double* x, double value) {
  for (int i = 0; i < kGroups; ++i) x[i] = value;
}

// x += a * y, and the same with one a for all.
STANPOOL_INLINE void add_product(double* x, const double* a, const double* y) {
  for (int i = 0; i < kGroups; ++i) x[i] += a[i] * y[i];
}
STANPOOL_INLINE void subtract_product(double* x, const double* a, const double* y) {
  for (int i = 0; i < kGroups; ++i) x[i] -= a[i] * y[i];
}

// The density of the groups from first on, n of them; leaves w, and inverse(S) in the place of H. Those that fill the
// block up have S = identity_matrix(Q) and count 0.
STANPOOL_INLINE double factor_block(const Groups& at, Eigen::Index first, int n, Block& block) {
  const int Q = at.Q;
  const auto z = [&](int q, int s) { return at.Z[q] + s * at.G + first; };
  double* one = block.one();

  for (int q = 0; q < Q; ++q) {
    double* e = block.e(q);
    set(e, 0);
    for (int i = 0; i < n; ++i) e[i] = at.y[q][first + i];
    for (Eigen::Index d = 0; d < at.theta.size(); ++d) {
      const double* x = at.X[q] + d * at.G + first;
      const double theta = at.theta[d];
      for (int i = 0; i < n; ++i) e[i] -= x[i] * theta;
    }
    for (int t = 0; t < Q; ++t) {
      double* p = block.P(q, t);
      set(p, 0);
      for (int s = 0; s < Q; ++s) {
        const double* z_s = z(q, s);
        const double sigma = at.Sigma(s, t);
        for (int i = 0; i < n; ++i) p[i] += z_s[i] * sigma;
      }
    }
    for (int r = 0; r <= q; ++r) {
      double* S = block.S(q, r);
      set(S, 0);
      for (int t = 0; t < Q; ++t) {
        const double *p = block.P(q, t), *z_t = z(r, t);
        for (int i = 0; i < n; ++i) S[i] += p[i] * z_t[i];
      }
    }
    double* S = block.S(q, q);
    for (int i = 0; i < n; ++i) S[i] += at.v[first + i];
    for (int i = n; i < kGroups; ++i) S[i] = 1;
  }

  // The factors of S, and the density. A diagonal that is not positive makes it NaN, as logarithms would.
  double term[kGroups], count[kGroups], is_wrong[kGroups], inverse[kGroups];
  set(term, 0);
  set(count, 0);
  set(is_wrong, 0);
  for (int i = 0; i < n; ++i) count[i] = at.count[first + i];
  for (int q = 0; q < Q; ++q) {
    double *D = block.S(q, q), *e = block.e(q);
    constexpr double least = std::numeric_limits<double>::min(), most = std::numeric_limits<double>::max();
    for (int i = 0; i < kGroups; ++i) is_wrong[i] += D[i] >= least ? 0.0 : 1.0;
    for (int i = 0; i < kGroups; ++i) is_wrong[i] += D[i] <= most ? 0.0 : 1.0;
    for (int i = 0; i < kGroups; ++i) inverse[i] = 1 / D[i];
    for (int i = 0; i < kGroups; ++i) term[i] += count[i] * log_normal_number(D[i]) + e[i] * e[i] * inverse[i];
    for (int r = q + 1; r < Q; ++r) {
      double* L = block.S(r, q);
      for (int i = 0; i < kGroups; ++i) one[i] = L[i] * inverse[i];
      subtract_product(block.e(r), one, e);
      for (int s = r; s < Q; ++s) subtract_product(block.S(s, r), one, block.S(s, q));
      for (int i = 0; i < kGroups; ++i) L[i] = one[i];
    }
    for (int i = 0; i < kGroups; ++i) D[i] = inverse[i];
  }
  double wrong = 0, lp = 0;
  for (int i = 0; i < kGroups; ++i) wrong += is_wrong[i];
  for (int i = 0; i < kGroups; ++i) lp -= term[i] / 2;
  if (wrong > 0) return std::numeric_limits<double>::quiet_NaN();

  // w = inverse(L') * inverse(D) * e, and inverse(S) = inverse(L') * inverse(D) * inverse(L).
  for (int q = Q - 1; q >= 0; --q) {
    double *w = block.w(q), *e = block.e(q), *D = block.S(q, q);
    for (int i = 0; i < kGroups; ++i) w[i] = e[i] * D[i];
    for (int r = q + 1; r < Q; ++r) subtract_product(w, block.S(r, q), block.w(r));
    for (int r = q + 1; r < Q; ++r) {
      double *M = block.M(r, q), *L = block.S(r, q);
      for (int i = 0; i < kGroups; ++i) M[i] = -L[i];
      for (int k = q + 1; k < r; ++k) subtract_product(M, block.S(r, k), block.M(k, q));
    }
  }
  for (int q = 0; q < Q; ++q) {
    for (int r = q; r < Q; ++r) {
      double *inverse_S = block.H(q, r), *D = block.S(r, r);
      for (int i = 0; i < kGroups; ++i) one[i] = D[i];
      if (q < r) {
        const double* M = block.M(r, q);
        for (int i = 0; i < kGroups; ++i) one[i] *= M[i];
      }
      for (int k = r + 1; k < Q; ++k) {
        const double *M_q = block.M(k, q), *M_r = block.M(k, r), *D_k = block.S(k, k);
        for (int i = 0; i < kGroups; ++i) one[i] += M_q[i] * M_r[i] * D_k[i];
      }
      for (int i = 0; i < kGroups; ++i) inverse_S[i] = one[i];
    }
  }
  return lp;
}

// H from w and inverse(S).
STANPOOL_INLINE void finish_block(const Groups& at, Eigen::Index first, int n, Block& block) {
  for (int q = 0; q < at.Q; ++q) {
    for (int r = q; r < at.Q; ++r) {
      double *H = block.H(q, r), *w_q = block.w(q), *w_r = block.w(r);
      for (int i = 0; i < n; ++i) H[i] = 0.5 * (w_q[i] * w_r[i] - at.count[first + i] * H[i]);
    }
  }
}

// The gradient, of w and H.
STANPOOL_INLINE void add_gradient(const Groups& at, Eigen::Index first, int n, Block& block, MarginalGradient& gradient) {
  const int Q = at.Q;
  const auto z = [&](int q, int s) { return at.Z[q] + s * at.G + first; };
  for (int q = 0; q < Q; ++q) {
    const double *w = block.w(q), *H = block.H(q, q);
    for (Eigen::Index d = 0; d < at.theta.size(); ++d) gradient.theta[d] += dot(at.X[q] + d * at.G + first, w, n);
    for (int i = 0; i < n; ++i) gradient.v[first + i] += H[i];
    for (int t = 0; t < Q; ++t) {
      double* p = block.P(q, t);
      set(p, 0);
      for (int r = 0; r < Q; ++r) {
        const double *h = block.H(std::min(q, r), std::max(q, r)), *z_t = z(r, t);
        for (int i = 0; i < n; ++i) p[i] += h[i] * z_t[i];
      }
      for (int s = 0; s < Q; ++s) gradient.Sigma(s, t) += dot(z(q, s), p, n);
    }
  }
}

STANPOOL_INLINE double add_blocks(const Groups& at, Eigen::Index first, Eigen::Index last, MarginalGradient& gradient) {
  Block block(at.Q);
  double lp = 0;
  for (; first < last; first += kGroups) {
    const int n = std::min<Eigen::Index>(kGroups, last - first);
    lp += factor_block(at, first, n, block);
    finish_block(at, first, n, block);
    add_gradient(at, first, n, block, gradient);
  }
  return lp;
}
inline double add_groups(const Groups& at, Eigen::Index first, Eigen::Index last, MarginalGradient& gradient) {
  return add_blocks(at, first, last, gradient);
}
STANPOOL_AVX2 inline double add_groups_avx2(const Groups& at, Eigen::Index first, Eigen::Index last,
                                            MarginalGradient& gradient) {
  return add_blocks(at, first, last, gradient);
}

inline double add_all_groups(const Groups& at, MarginalGradient& gradient) {
  const int slices = number_of_slices(at.G, 512);
  std::vector<double> lps(slices);
  std::vector<MarginalGradient> gradients(slices, gradient);
  for_each_slice(slices, [&](int i) {
    const Eigen::Index first = start_of_slice(i, slices, at.G, kGroups);
    const Eigen::Index last = start_of_slice(i + 1, slices, at.G, kGroups);
    lps[i] = has_avx2() ? add_groups_avx2(at, first, last, gradients[i]) : add_groups(at, first, last, gradients[i]);
  });
  double lp = 0;
  for (int i = 0; i < slices; ++i) {
    lp += lps[i];
    gradient.theta += gradients[i].theta;
    gradient.Sigma += gradients[i].Sigma;
  }
  return lp;
}

template <typename Y, typename X, typename Z, typename Count>
Groups groups_of(const Y& y, const X& x, const Eigen::VectorXd& theta, const Z& z, const Eigen::MatrixXd& sigma,
                 const Eigen::VectorXd& v, const Count& count) {
  Groups at{static_cast<int>(y.size()), count.size(), {}, {}, {}, count.data(), theta, sigma, v};
  for (int q = 0; q < at.Q; ++q) {
    at.y.push_back(y[q].data());
    at.X.push_back(x[q].data());
    at.Z.push_back(z[q].data());
  }
  return at;
}

}  // namespace stanpool

template <bool propto, typename Y, typename X, typename Theta, typename Z, typename Sigma, typename V, typename Count>
stan::return_type_t<Theta, Sigma, V> marginal_normal_id_glm_lpdf(const Y& y, const X& x, const Theta& theta, const Z& z,
                                                                 const Sigma& sigma, const V& v, const Count& count,
                                                                 std::ostream*) {
  using stan::is_constant;
  if constexpr (!stan::math::include_summand<propto, Theta, Sigma, V>::value) return 0.0;
  auto&& theta_ref = stan::math::to_ref(theta);
  auto&& sigma_ref = stan::math::to_ref(sigma);
  auto&& v_ref = stan::math::to_ref(v);
  const stanpool::Groups at = stanpool::groups_of(y, x, stan::math::value_of(theta_ref), z,
                                                  stan::math::value_of(sigma_ref), stan::math::value_of(v_ref), count);
  Eigen::VectorXd gradient_v = Eigen::VectorXd::Zero(at.G);
  stanpool::MarginalGradient gradient{Eigen::VectorXd::Zero(at.theta.size()), Eigen::MatrixXd::Zero(at.Q, at.Q),
                                      gradient_v.data()};
  const double lp = stanpool::add_all_groups(at, gradient);

  auto node = stan::math::make_partials_propagator(theta_ref, sigma_ref, v_ref);
  if constexpr (!is_constant<Theta>::value) stan::math::partials<0>(node) = gradient.theta;
  if constexpr (!is_constant<Sigma>::value) stan::math::partials<1>(node) = gradient.Sigma;
  if constexpr (!is_constant<V>::value) stan::math::partials<2>(node) = gradient_v;
  return node.build(lp);
}
