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
// A is sparse, and P falls into blocks: groups of the second factor that no group of the first one connects, as where one
// factor is nested in the other, know nothing of each other. So no matrix is larger than such a block.
//
// It is the function of the same name in its .stanfunctions file; tests compare values and gradients.

namespace stanpool {

// A, as in Stan's csr_to_dense_matrix, one for each of the outcomes of a group; and [y, X, A]' * A of other rows.
struct SecondFactor {
  std::vector<const double*> a;
  const int* column;
  const int* first;
  Eigen::MatrixXd T;
  Eigen::VectorXd r;
  const double* P;  // products of other rows, times v
  double v;
  Eigen::Index columns;

  int begin(Eigen::Index g) const { return first[g] - 1; }
  int end(Eigen::Index g) const { return first[g + 1] - 1; }
  double rest(int j, int k) const { return P[j + k * columns] / v; }
};

// Columns whose coefficients depend on each other, given the outcome; whole groups of the second factor.
struct Connected {
  std::vector<int> columns;
  Eigen::MatrixXd P;
  Eigen::MatrixXd V;
};

// Which of them each column is in, and where.
struct Places {
  std::vector<int> block;
  std::vector<int> at;
};

// Groups of the second factor are one if a group of the first one has rows of both.
inline std::vector<Connected> connected_columns(const SecondFactor& second, Eigen::Index G, Places& places) {
  const int Q = second.T.rows(), J = second.columns / Q;
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
  std::vector<Connected> found;
  std::vector<int> block_of(J, -1);
  places.block.resize(second.columns);
  places.at.resize(second.columns);
  for (int j = 0; j < J; ++j) {
    int& block = block_of[find(j)];
    if (block < 0) {
      block = found.size();
      found.emplace_back();
    }
    for (int k = j * Q; k < (j + 1) * Q; ++k) {
      places.block[k] = block;
      places.at[k] = found[block].columns.size();
      found[block].columns.push_back(k);
    }
  }
  return found;
}

// The log of what is left of a block's coefficients, and the gradient for T and v; u, and V in its place.
inline double integrate_block(const SecondFactor& second, Connected& block, Eigen::VectorXd& u, Eigen::MatrixXd& gradient_T,
                              double& gradient_v) {
  const Eigen::Index size = block.columns.size(), Q = second.T.rows(), J = size / Q;
  const auto times_T = [&](const Eigen::MatrixXd& x) {
    Eigen::MatrixXd product(x.rows(), size);
    for (Eigen::Index j = 0; j < J; ++j) product.middleCols(j * Q, Q).noalias() = x.middleCols(j * Q, Q) * second.T;
    return product;
  };
  const auto T_times = [&](const Eigen::MatrixXd& x, const Eigen::MatrixXd& T) {
    Eigen::MatrixXd product(size, x.cols());
    for (Eigen::Index j = 0; j < J; ++j) product.middleRows(j * Q, Q).noalias() = T * x.middleRows(j * Q, Q);
    return product;
  };

  Eigen::VectorXd r(size);
  for (Eigen::Index k = 0; k < size; ++k) r[k] = second.r[block.columns[k]];
  const Eigen::MatrixXd PT = times_T(block.P);
  Eigen::MatrixXd M = T_times(PT, second.T.transpose());
  M.diagonal().array() += 1;
  const Eigen::LLT<Eigen::MatrixXd> factor(M);
  if (factor.info() != Eigen::Success) return std::numeric_limits<double>::quiet_NaN();
  const Eigen::VectorXd Tr = T_times(r, second.T.transpose());
  const Eigen::VectorXd m = factor.solve(Tr);
  const Eigen::MatrixXd inverse_M = factor.solve(Eigen::MatrixXd::Identity(size, size));
  const Eigen::VectorXd own = T_times(m, second.T);
  block.V = T_times(T_times(inverse_M, second.T).transpose(), second.T);

  const Eigen::VectorXd left = r - block.P * own;
  for (Eigen::Index j = 0; j < J; ++j) {
    gradient_T.noalias() += left.segment(j * Q, Q) * m.segment(j * Q, Q).transpose();
    gradient_T.noalias() -= PT.middleRows(j * Q, Q) * inverse_M.middleCols(j * Q, Q);
  }
  for (Eigen::Index k = 0; k < size; ++k) {
    for (Eigen::Index j = 0; j < size; ++j)
      gradient_v += 0.5 * (block.V(j, k) + own[j] * own[k]) * second.rest(block.columns[j], block.columns[k]) / second.v;
    u[block.columns[k]] = own[k];
  }
  return Tr.dot(m) / 2 - factor.matrixLLT().diagonal().array().log().sum();
}

STANPOOL_INLINE double factor_blocks(const Groups& at, std::vector<Block>& blocks) {
  double lp = 0;
  for (Eigen::Index first = 0; first < at.G; first += kGroups)
    lp += factor_block(at, first, std::min<Eigen::Index>(kGroups, at.G - first), blocks[first / kGroups]);
  return lp;
}
inline double factor_all(const Groups& at, std::vector<Block>& blocks) { return factor_blocks(at, blocks); }
STANPOOL_AVX2 inline double factor_all_avx2(const Groups& at, std::vector<Block>& blocks) {
  return factor_blocks(at, blocks);
}

STANPOOL_INLINE void add_gradients(const Groups& at, std::vector<Block>& blocks, MarginalGradient& gradient) {
  for (Eigen::Index first = 0; first < at.G; first += kGroups)
    add_gradient(at, first, std::min<Eigen::Index>(kGroups, at.G - first), blocks[first / kGroups], gradient);
}
inline void add_all_gradients(const Groups& at, std::vector<Block>& blocks, MarginalGradient& gradient) {
  add_gradients(at, blocks, gradient);
}
STANPOOL_AVX2 inline void add_all_gradients_avx2(const Groups& at, std::vector<Block>& blocks, MarginalGradient& gradient) {
  add_gradients(at, blocks, gradient);
}

// r and P of all blocks have those of other rows; adds those of the groups. B = inverse(S) * A, as A is stored.
inline void add_groups_to_blocks(const Groups& at, std::vector<Block>& blocks, SecondFactor& second, const Places& places,
                                 std::vector<Connected>& connected, std::vector<std::vector<double>>& B) {
  for (Eigen::Index g = 0; g < at.G; ++g) {
    const int begin = second.begin(g), end = second.end(g), i = g % kGroups;
    if (begin == end) continue;
    Block& block = blocks[g / kGroups];
    Eigen::MatrixXd& P = connected[places.block[second.column[begin] - 1]].P;
    for (int q = 0; q < at.Q; ++q) {
      std::fill(B[q].begin() + begin, B[q].begin() + end, 0.0);
      for (int r = 0; r < at.Q; ++r) {
        const double inverse_S = block.H(std::min(q, r), std::max(q, r))[i];
        for (int k = begin; k < end; ++k) B[q][k] += inverse_S * second.a[r][k];
      }
    }
    for (int q = 0; q < at.Q; ++q) {
      const double w = block.w(q)[i];
      for (int k = begin; k < end; ++k) {
        const double a = second.a[q][k];
        second.r[second.column[k] - 1] += a * w;
        const int place = places.at[second.column[k] - 1];
        for (int j = begin; j < end; ++j) P(places.at[second.column[j] - 1], place) += a * B[q][j];
      }
    }
  }
}

// What the groups' outcomes say given the second factor's coefficients, expected over these: changes w, and adds to H.
inline void expect_groups(const Groups& at, std::vector<Block>& blocks, const SecondFactor& second, const Places& places,
                          const std::vector<Connected>& connected, const std::vector<std::vector<double>>& B,
                          const Eigen::VectorXd& u) {
  std::vector<double> BV;
  for (Eigen::Index g = 0; g < at.G; ++g) {
    const int begin = second.begin(g), end = second.end(g), i = g % kGroups;
    for (int q = 0; q < at.Q; ++q)
      for (int k = begin; k < end; ++k) blocks[g / kGroups].w(q)[i] -= B[q][k] * u[second.column[k] - 1];
  }
  for (Eigen::Index first = 0; first < at.G; first += kGroups)
    finish_block(at, first, std::min<Eigen::Index>(kGroups, at.G - first), blocks[first / kGroups]);
  for (Eigen::Index g = 0; g < at.G; ++g) {
    const int begin = second.begin(g), end = second.end(g), i = g % kGroups;
    if (begin == end) continue;
    const Eigen::MatrixXd& V = connected[places.block[second.column[begin] - 1]].V;
    BV.resize(end - begin);
    for (int q = 0; q < at.Q; ++q) {
      for (int k = begin; k < end; ++k) {
        const int place = places.at[second.column[k] - 1];
        BV[k - begin] = 0;
        for (int j = begin; j < end; ++j) BV[k - begin] += B[q][j] * V(places.at[second.column[j] - 1], place);
      }
      for (int r = q; r < at.Q; ++r)
        for (int k = begin; k < end; ++k) blocks[g / kGroups].H(q, r)[i] += 0.5 * BV[k - begin] * B[r][k];
    }
  }
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
  const double v_val = stan::math::value_of(v);
  const Eigen::VectorXd theta_val = stan::math::value_of(theta_ref);
  const stanpool::Groups at =
      stanpool::groups_of(y, x, theta_val, z, stan::math::value_of(sigma_ref), Eigen::VectorXd::Constant(count.size(), v_val), count);
  const Eigen::Index D = theta_val.size(), columns = products.rows();
  stanpool::SecondFactor second{{},
                                column.data(),
                                first.data(),
                                stan::math::value_of(t_ref),
                                (products.col(0) - products.middleCols(1, D) * theta_val) / v_val,
                                products.data() + (1 + D) * columns,
                                v_val,
                                columns};
  for (const auto& each : a) second.a.push_back(each.data());

  std::vector<stanpool::Block> blocks((at.G + stanpool::kGroups - 1) / stanpool::kGroups, stanpool::Block(at.Q));
  double lp = stanpool::has_avx2() ? stanpool::factor_all_avx2(at, blocks) : stanpool::factor_all(at, blocks);

  stanpool::Places places;
  std::vector<stanpool::Connected> connected = stanpool::connected_columns(second, at.G, places);
  for (stanpool::Connected& block : connected) {
    const int size = block.columns.size();
    block.P.resize(size, size);
    for (int k = 0; k < size; ++k)
      for (int j = 0; j < size; ++j) block.P(j, k) = second.rest(block.columns[j], block.columns[k]);
  }
  std::vector<std::vector<double>> B(at.Q, std::vector<double>(column.size()));
  const Eigen::VectorXd r_rest = second.r;
  stanpool::add_groups_to_blocks(at, blocks, second, places, connected, B);

  Eigen::VectorXd u(columns);
  Eigen::MatrixXd gradient_T = Eigen::MatrixXd::Zero(second.T.rows(), second.T.cols());
  double gradient_v = 0;
  for (stanpool::Connected& block : connected) lp += stanpool::integrate_block(second, block, u, gradient_T, gradient_v);
  gradient_v -= u.dot(r_rest) / v_val;

  stanpool::expect_groups(at, blocks, second, places, connected, B, u);
  Eigen::VectorXd gradient_of_groups = Eigen::VectorXd::Zero(at.G);
  stanpool::MarginalGradient gradient{-products.middleCols(1, D).transpose() * u / v_val, Eigen::MatrixXd::Zero(at.Q, at.Q),
                                      gradient_of_groups.data()};
  stanpool::has_avx2() ? stanpool::add_all_gradients_avx2(at, blocks, gradient)
                       : stanpool::add_all_gradients(at, blocks, gradient);

  auto node = stan::math::make_partials_propagator(theta_ref, sigma_ref, v, t_ref);
  if constexpr (!is_constant<Theta>::value) stan::math::partials<0>(node) = gradient.theta;
  if constexpr (!is_constant<Sigma>::value) stan::math::partials<1>(node) = gradient.Sigma;
  if constexpr (!is_constant<V>::value) stan::math::partials<2>(node)[0] = gradient_v + gradient_of_groups.sum();
  if constexpr (!is_constant<T>::value) stan::math::partials<3>(node) = gradient_T;
  return node.build(lp);
}
