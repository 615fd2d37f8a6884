// Elementary functions and sums for loops that compilers turn into vector instructions: no branches, no calls, sums in
// lanes. For the headers that follow.

#include <stan/model/model_header.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <vector>

#define STANPOOL_INLINE inline __attribute__((always_inline))

namespace stanpool {

constexpr int kLanes = 8;

// 2^k for whole t = k + 1.5 * 2^52, whose last bits are those of k.
STANPOOL_INLINE double power_of_two(double t) {
  std::int64_t bits;
  std::memcpy(&bits, &t, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return power;
}

// exp(x) for -708 < x < 708, to a rounding or two: 2^k * exp(r), |r| < log(2) / 2, by Taylor's series.
STANPOOL_INLINE double exp_inside(double x) {
  constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds
  const double t = x * 1.4426950408889634 + magic;
  const double k = t - magic;
  const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * power_of_two(t);
}

// log(1 + x) for 0 <= x <= 1, to a rounding or two: 2 * atanh(x / (2 + x)), by Taylor's series.
STANPOOL_INLINE double log1p_inside(double x) {
  const double s = x / (2 + x);
  const double square = s * s;
  double p = 0;
  for (int k = 17; k >= 0; --k) p = p * square + 1.0 / (2 * k + 1);
  return 2 * s * p;
}

// log(x) for positive x that is normal, to a few roundings of log(2): x = 2^k * m, 1 <= m < 2, and
// log(m) = log(2) / 2 + 2 * atanh((m - sqrt(2)) / (m + sqrt(2))), by Taylor's series.
STANPOOL_INLINE double log_normal_number(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint64_t k_bits = (bits >> 52) | 0x4330000000000000;  // k + 1023 + 2^52
  const std::uint64_t m_bits = (bits & 0x000fffffffffffff) | 0x3ff0000000000000;
  double k, m;
  std::memcpy(&k, &k_bits, sizeof k);
  std::memcpy(&m, &m_bits, sizeof m);
  k = (k - 4503599627370496.0) - 1022.5;
  const double s = (m - 1.4142135623730951) / (m + 1.4142135623730951);
  const double square = s * s;
  double p = 0;
  for (int i = 10; i >= 0; --i) p = p * square + 1.0 / (2 * i + 1);
  return k * 0.6931471805599453 + 2 * s * p;
}

// The sum of products of the first n.
STANPOOL_INLINE double dot(const double* x, const double* y, int n) {
  double lanes[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] += x[i + j] * y[i + j];
  double total = 0;
  for (; i < n; ++i) total += x[i] * y[i];
  for (int j = 0; j < kLanes; ++j) total += lanes[j];
  return total;
}

// gcc's target attribute makes loops for wider vectors, too, and keeps executables good for all processors.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define STANPOOL_AVX2 __attribute__((target("avx2,fma")))
inline bool has_avx2() {
  static const bool found = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return found;
}
#else
#define STANPOOL_AVX2
inline bool has_avx2() { return false; }
#endif

}  // namespace stanpool
