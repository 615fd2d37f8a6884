// Deviations of groups' coefficients in the adaptive form, and the density of correlated ones, with their gradients.
//
// Stan builds several nodes of autodiff for each number; these build one for all. They are the functions of the same
// names in their .stanfunctions files; tests compare values and gradients. Matrices have a row for each group and a
// column for each coefficient: z, the mean that it is centered at, c (the centeredness), s (the scale of z).

namespace stanpool {

using Numbers = Eigen::ArrayXXd;

// What deviations are multiplied by: exp(log_ratio * (1 - c)).
STANPOOL_INLINE void fill_stretches(double log_ratio, const double* __restrict c, Eigen::Index n,
                                    double* __restrict stretch) {
  for (Eigen::Index j = 0; j < n; ++j) stretch[j] = exp_inside(log_ratio * (1 - c[j]));
}
inline void stretches_plain(double log_ratio, const double* c, Eigen::Index n, double* stretch) {
  fill_stretches(log_ratio, c, n, stretch);
}
inline STANPOOL_AVX2 void stretches_avx2(double log_ratio, const double* c, Eigen::Index n, double* stretch) {
  fill_stretches(log_ratio, c, n, stretch);
}
template <typename Scales, typename Pilot, typename C>
Numbers stretches(const Scales& scales, const Pilot& scales_pilot, const C& c) {
  Numbers found(c.rows(), c.cols());
  for (Eigen::Index q = 0; q < c.cols(); ++q) {
    const double log_ratio = std::log(scales[q] / scales_pilot[q]);
    if (!(std::abs(log_ratio) < 700))
      found.col(q) = (log_ratio * (1 - c.col(q).array())).exp();
    else if (has_avx2())
      stretches_avx2(log_ratio, c.col(q).data(), c.rows(), found.col(q).data());
    else
      stretches_plain(log_ratio, c.col(q).data(), c.rows(), found.col(q).data());
  }
  return found;
}

// Whether a function is called for the value alone, as it is where quantities are generated.
template <typename... Arguments>
constexpr bool only_value = stan::is_constant_all<Arguments...>::value;

// What a call keeps until its slopes are wanted.
using VarMatrix = Eigen::Matrix<stan::math::var, -1, -1>;
using KeptVars = stan::arena_t<VarMatrix>;
using KeptVarVector = stan::arena_t<Eigen::Matrix<stan::math::var, -1, 1>>;
using KeptNumbers = stan::arena_t<Numbers>;
using KeptMatrix = stan::arena_t<Eigen::MatrixXd>;

// Data of the program stay where they are; other numbers are copied.
template <typename T>
KeptMatrix kept(const T& x) {
  return x;
}
template <typename M>
Eigen::Map<M> kept(const Eigen::Map<M>& x) {
  return x;
}

// Adds slopes that follow each other and mostly belong to one and the same number, as those of equal means do.
class Slopes {
 public:
  void add(const stan::math::var& to, double slope) {
    if (to.vi_ != to_) {
      flush();
      to_ = to.vi_;
    }
    sum_ += slope;
  }
  void flush() {
    if (to_) to_->adj_ += sum_;
    sum_ = 0;
  }

 private:
  stan::math::vari* to_ = nullptr;
  double sum_ = 0;
};

}  // namespace stanpool

template <typename Z, typename Mean, typename Tau, typename C, typename S, typename Pilot>
Eigen::Matrix<stan::return_type_t<Z, Mean, Tau>, -1, -1> partly_centered(const Z& z, const Mean& mean, const Tau& tau,
                                                                         const C& centeredness, const S& z_scale,
                                                                         const Pilot& tau_pilot, std::ostream*) {
  using namespace stanpool;
  const auto c = centeredness.array(), s = z_scale.array();
  const Numbers stretch = stretches(stan::math::value_of(tau), tau_pilot, centeredness);
  if constexpr (only_value<Z, Mean, Tau>) {
    return stretch * (s * z.array() - c * mean.array());
  } else {
    KeptVars z_(z), mean_(mean);
    KeptVarVector tau_(tau);
    KeptNumbers stretch_(stretch);
    auto c_ = kept(centeredness);
    auto s_ = kept(z_scale);
    KeptVars u((stretch * (s * z_.val().array() - c * mean_.val().array())).matrix());
    stan::math::reverse_pass_callback([=]() mutable {
      Slopes of_mean;
      for (Eigen::Index q = 0; q < u.cols(); ++q) {
        double of_log_tau = 0;
        for (Eigen::Index j = 0; j < u.rows(); ++j) {
          const double slope = u(j, q).adj(), inner = slope * stretch_(j, q);
          z_(j, q).adj() += inner * s_(j, q);
          of_mean.add(mean_(j, q), -inner * c_(j, q));
          of_log_tau += slope * u(j, q).val() * (1 - c_(j, q));
        }
        tau_[q].adj() += of_log_tau / tau_[q].val();
      }
      of_mean.flush();
    });
    return VarMatrix(u);
  }
}

template <typename Z, typename Mean, typename Tau, typename L, typename C, typename S, typename Pilot, typename D>
Eigen::Matrix<stan::return_type_t<Z, Mean, Tau, L>, -1, -1> partly_centered_correlated(
    const Z& z, const Mean& mean, const Tau& tau, const L& L_Omega, const C& centeredness, const S& z_scale,
    const Pilot& tau_pilot, const D& decorrelated, std::ostream*) {
  using namespace stanpool;
  using stan::math::value_of;
  const auto c = centeredness.array(), s = z_scale.array();
  const Numbers stretch = stretches(value_of(tau), tau_pilot, centeredness);
  const Numbers center = c / s;
  const Eigen::MatrixXd deviations = value_of(z).array() - center * value_of(mean).array();
  const Eigen::MatrixXd more = Eigen::MatrixXd(value_of(L_Omega)) - Eigen::MatrixXd::Identity(z.cols(), z.cols());
  const Eigen::MatrixXd moved = value_of(z) + decorrelated.asDiagonal() * deviations * more.transpose();
  const Eigen::MatrixXd u_values = stretch * (s * moved.array() - c * value_of(mean).array());
  if constexpr (only_value<Z, Mean, Tau, L>) {
    return u_values;
  } else {
    KeptVars z_(z), mean_(mean), chol(L_Omega), u(u_values);
    KeptVarVector tau_(tau);
    KeptNumbers of_z(stretch * s), of_mean(stretch * c), of_deviations(center), of_log_tau(u_values.array() * (1 - c));
    KeptMatrix apart(deviations), off_diagonal(more);
    stan::arena_t<Eigen::VectorXd> is_decorrelated(decorrelated);
    stan::math::reverse_pass_callback([=]() mutable {
      const Numbers slope = u.adj().array();
      const Eigen::MatrixXd of_moved = slope * of_z;
      const Eigen::MatrixXd of_correlated = is_decorrelated.asDiagonal() * of_moved;
      const Eigen::MatrixXd of_apart = of_correlated * off_diagonal;
      z_.adj() += of_moved + of_apart;
      mean_.adj().array() -= slope * of_mean + of_apart.array() * of_deviations;
      chol.adj() += of_correlated.transpose() * apart;
      tau_.adj().array() += (slope * of_log_tau).colwise().sum().transpose() / tau_.val().array();
    });
    return VarMatrix(u);
  }
}

template <typename Z, typename Mean, typename L, typename C, typename S, typename Pilot, typename U>
Eigen::Matrix<stan::return_type_t<Z, Mean, L>, -1, -1> partly_centered_recentered(
    const Z& z, const Mean& mean, const L& L_factor, const C& centeredness, const S& z_scale, const Pilot& tau_pilot,
    const U& uncenter, std::ostream*) {
  using namespace stanpool;
  using stan::math::value_of;
  const auto c = centeredness.array(), s = z_scale.array();
  const Eigen::MatrixXd l = value_of(L_factor);
  Numbers stretch = stretches(l.diagonal(), tau_pilot, centeredness);
  stretch.rowwise() /= l.diagonal().transpose().array();
  // Standardized deviations, one coefficient after the other.
  Eigen::MatrixXd v_values = stretch * (s * value_of(z).array() - c * value_of(mean).array());
  for (Eigen::Index q = 1; q < l.cols(); ++q)
    v_values.col(q).array() -=
        stretch.col(q) * c.col(q) * (v_values.leftCols(q) * l.row(q).head(q).transpose()).array();
  const Eigen::MatrixXd u_values = v_values * (uncenter * l).transpose();
  if constexpr (only_value<Z, Mean, L>) {
    return u_values;
  } else {
    KeptVars z_(z), mean_(mean), chol(L_factor), u(u_values);
    KeptNumbers of_z(stretch * s), of_mean(stretch * c), centered(c);
    KeptMatrix v(v_values), to_u(uncenter);
    stan::math::reverse_pass_callback([=]() mutable {
      const Eigen::MatrixXd l = chol.val(), slope = u.adj();
      Eigen::MatrixXd of_v = slope * to_u * l;
      Eigen::MatrixXd of_l = to_u.transpose() * slope.transpose() * v;
      for (Eigen::Index q = l.cols() - 1; q >= 0; --q) {
        const Eigen::VectorXd of_center = -of_v.col(q).array() * of_mean.col(q);
        z_.col(q).adj().array() += of_v.col(q).array() * of_z.col(q);
        mean_.col(q).adj() += of_center;
        of_l.row(q).head(q) += of_center.transpose() * v.leftCols(q);
        of_l(q, q) -= (of_v.col(q).array() * v.col(q).array() * centered.col(q)).sum() / l(q, q);
        of_v.leftCols(q) += of_center * l.row(q).head(q);
      }
      chol.adj() += of_l;
    });
    return VarMatrix(u);
  }
}

template <bool propto, typename U, typename L>
stan::return_type_t<U, L> multi_normal_rows_lpdf(const U& u, const L& chol, std::ostream*) {
  using stan::is_constant;
  using stan::math::value_of;
  auto&& u_ref = stan::math::to_ref(u);
  auto&& chol_ref = stan::math::to_ref(chol);
  const Eigen::MatrixXd l = value_of(chol_ref);
  Eigen::MatrixXd x = value_of(u_ref).transpose();  // standardized, a column for each group
  l.triangularView<Eigen::Lower>().solveInPlace(x);
  const double lp = -0.5 * x.squaredNorm() - x.size() * stan::math::HALF_LOG_TWO_PI -
                    x.cols() * l.diagonal().array().log().sum();

  auto node = stan::math::make_partials_propagator(u_ref, chol_ref);
  if constexpr (!is_constant<L>::value) {
    Eigen::MatrixXd of_l = x * x.transpose();
    l.transpose().triangularView<Eigen::Upper>().solveInPlace(of_l);
    of_l.diagonal().array() -= x.cols() / l.diagonal().array();
    stan::math::partials<1>(node) = Eigen::MatrixXd(of_l.triangularView<Eigen::Lower>());
  }
  if constexpr (!is_constant<U>::value) {
    l.transpose().triangularView<Eigen::Upper>().solveInPlace(x);
    stan::math::partials<0>(node) = -x.transpose();
  }
  return node.build(lp);
}
