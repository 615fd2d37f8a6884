// Log density of normal outcomes that are known by the crossproducts of their columns, and its gradient.
//
// The sum of squares is a quadratic form of d = theta - theta_hat, whose gradient is 2 * (G * d - products) with the
// symmetric G = W' * W: one pass over the upper triangle of G has both. Stan builds a node of autodiff for each number
// of G; this builds one for all.
//
// It is the function of the same name in its .stanfunctions file; tests compare values and gradients.

namespace stanpool {

// found += 2 * G * d. Numbers off the diagonal of G are stored once, and doubled.
STANPOOL_INLINE void add_twice_product(const double* __restrict gram, const int* __restrict row,
                                       const int* __restrict column, std::size_t n, const double* __restrict d,
                                       double* __restrict found) {
  std::size_t k = 0;
  while (k < n) {
    const int r = row[k];
    const double d_r = d[r - 1];
    double total = 0;
    for (; k < n && row[k] == r; ++k) {
      const int c = column[k] - 1;
      total += gram[k] * d[c];
      found[c] += gram[k] * d_r;
    }
    found[r - 1] += total;
  }
}

}  // namespace stanpool

template <bool propto, typename Products, typename Theta, typename Sigma, typename Hat, typename Gram>
stan::return_type_t<Theta, Sigma> normal_crossproducts_lpdf(const Products& products, double squares, double N,
                                                            const Theta& theta, const Sigma& sigma, const Hat& theta_hat,
                                                            const Gram& gram, const std::vector<int>& row,
                                                            const std::vector<int>& column, std::ostream*) {
  using stan::is_constant;
  if constexpr (!stan::math::include_summand<propto, Theta, Sigma>::value) return 0.0;
  auto&& theta_ref = stan::math::to_ref(theta);
  const double sigma_value = stan::math::value_of(sigma), precision = 1 / (sigma_value * sigma_value);
  const Eigen::VectorXd d = stan::math::value_of(theta_ref) - theta_hat;
  Eigen::VectorXd product = Eigen::VectorXd::Zero(d.size());
  stanpool::add_twice_product(gram.data(), row.data(), column.data(), row.size(), d.data(), product.data());
  product *= 0.5;
  const double sum_of_squares = squares - 2 * d.dot(products) + d.dot(product);

  auto node = stan::math::make_partials_propagator(theta_ref, sigma);
  if constexpr (!is_constant<Theta>::value) stan::math::partials<0>(node) = precision * (products - product);
  if constexpr (!is_constant<Sigma>::value)
    stan::math::partials<1>(node)[0] = (sum_of_squares * precision - N) / sigma_value;
  return node.build(-N * std::log(sigma_value) - 0.5 * sum_of_squares * precision);
}
