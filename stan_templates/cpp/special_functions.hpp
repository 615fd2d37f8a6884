// Functions of blocks of rows, which stay in the processor's nearest cache: exponentials, sums, the normal distribution's
// tails and the gamma function. All are loops that compilers turn into vector instructions.

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

constexpr double kNormalAtZero = 0.3989422804014327;  // density of the normal distribution: 1 / sqrt(2 * pi)

// Phi(-x) / exp(-x^2 / 2) for x >= 0, to three roundings. With t = x / sqrt(2) it is exp(t^2) * erfc(t) / 2, and
// (1 + 2 * t) * exp(t^2) * erfc(t) is a polynomial of (t - 3.75) / (t + 3.75): the Chebyshev series that Shepherd and
// Laframboise (1981), Mathematics of Computation 36, 249-253 propose, computed with 40 digits and cut after degree 23.
STANPOOL_INLINE double scaled_normal_tail(double x) {
  const double t = x * 0.7071067811865476;
  const double s = (t - 3.75) / (t + 3.75);
  double p = 3.1114333809799254e-10;
  p = p * s - 2.623107347133476e-09;
  p = p * s - 3.744210080962018e-09;
  p = p * s + 3.197926671666804e-08;
  p = p * s + 2.3263508708859124e-08;
  p = p * s - 2.4857126248016745e-07;
  p = p * s - 5.7218230603224086e-08;
  p = p * s + 1.7419821586224816e-06;
  p = p * s - 9.73559896736775e-07;
  p = p * s - 1.1438048033346894e-05;
  p = p * s + 2.238423915508223e-05;
  p = p * s + 5.164652974177416e-05;
  p = p * s - 0.0002901540805408417;
  p = p * s + 0.000293714378044958;
  p = p * s + 0.0017556258528952954;
  p = p * s - 0.009746579683265262;
  p = p * s + 0.028362277418956406;
  p = p * s - 0.05869339857664934;
  p = p * s + 0.09230432116037748;
  p = p * s - 0.10880393014244462;
  p = p * s + 0.0822767384901452;
  p = p * s + 0.0035854154854790257;
  p = p * s - 0.14024059858554697;
  p = p * s + 1.2375126308378275;
  return 0.5 * p / (1 + 2 * t);
}

// (1 - exp(-h)) / h for 0 <= h <= 0.5, by Taylor's series.
STANPOOL_INLINE double share_within(double h) {
  double p = 1.0 / 87178291200.0;  // 1 / 14!
  p = 1.0 / 6227020800.0 - h * p;
  p = 1.0 / 479001600.0 - h * p;
  p = 1.0 / 39916800.0 - h * p;
  p = 1.0 / 3628800.0 - h * p;
  p = 1.0 / 362880.0 - h * p;
  p = 1.0 / 40320.0 - h * p;
  p = 1.0 / 5040.0 - h * p;
  p = 1.0 / 720.0 - h * p;
  p = 1.0 / 120.0 - h * p;
  p = 1.0 / 24.0 - h * p;
  p = 1.0 / 6.0 - h * p;
  p = 0.5 - h * p;
  return 1.0 - h * p;
}

// x * (x + 1) * ... * (x + 9), and its logarithm's derivative times it: what takes the gamma function from x to x + 10.
struct Shift {
  double product, slope;
};
STANPOOL_INLINE Shift shift_by_ten(double x) {
  double product = x, slope = 1;
  for (int k = 1; k < 10; ++k) {
    slope = slope * (x + k) + product;
    product *= x + k;
  }
  return {product, slope};
}

// What Stirling's formula for log(gamma(x)), (x - 0.5) * log(x) - x + log(2 * pi) / 2, leaves, for x >= 10.
STANPOOL_INLINE double rest_of_stirling(double x) {
  const double inverse = 1 / x, square = inverse * inverse;
  double p = -3617.0 / 122400.0;
  p = p * square + 1.0 / 156.0;
  p = p * square - 691.0 / 360360.0;
  p = p * square + 1.0 / 1188.0;
  p = p * square - 1.0 / 1680.0;
  p = p * square + 1.0 / 1260.0;
  p = p * square - 1.0 / 360.0;
  p = p * square + 1.0 / 12.0;
  return p * inverse;
}

// log(x) minus the digamma function of x, for x >= 10.
STANPOOL_INLINE double log_minus_digamma(double x) {
  const double inverse = 1 / x, square = inverse * inverse;
  double p = -3617.0 / 8160.0;
  p = p * square + 1.0 / 12.0;
  p = p * square - 691.0 / 32760.0;
  p = p * square + 1.0 / 132.0;
  p = p * square - 1.0 / 240.0;
  p = p * square + 1.0 / 252.0;
  p = p * square - 1.0 / 120.0;
  p = p * square + 1.0 / 12.0;
  return p * square + 0.5 * inverse;
}

// log(gamma(x)) without log(2 * pi) / 2, and the digamma function, of a block of positive numbers.
STANPOOL_INLINE void log_gamma_block(const double* x, double* log_gamma, double* digamma) {
  double low[kBlock], product[kBlock], share[kBlock], far[kBlock];
  for (int i = 0; i < kBlock; ++i) low[i] = x[i] < 10 ? x[i] : 10.0;
  for (int i = 0; i < kBlock; ++i) {
    const Shift shift = shift_by_ten(low[i]);
    product[i] = shift.product;
    share[i] = shift.slope / shift.product;
  }
  for (int i = 0; i < kBlock; ++i) product[i] = x[i] < 10 ? product[i] : 1.0;
  for (int i = 0; i < kBlock; ++i) share[i] = x[i] < 10 ? share[i] : 0.0;
  for (int i = 0; i < kBlock; ++i) far[i] = x[i] < 10 ? x[i] + 10 : x[i];
  for (int i = 0; i < kBlock; ++i) {
    const double log_far = log_normal_number(far[i]);
    log_gamma[i] = (far[i] - 0.5) * log_far - far[i] + rest_of_stirling(far[i]) - log_normal_number(product[i]);
    digamma[i] = log_far - log_minus_digamma(far[i]) - share[i];
  }
}

// log(gamma(x + y) / gamma(x)) of blocks of positive x and of y >= 0, and its slopes in x. Stirling's formulas are
// subtracted term by term, so that no digits are lost where x is large.
STANPOOL_INLINE void log_rising_block(const double* x, const double* y, double* log_rising, double* slope) {
  double low[kBlock], product[kBlock], share[kBlock], far[kBlock], grown[kBlock], small[kBlock], large[kBlock];
  for (int i = 0; i < kBlock; ++i) low[i] = x[i] < 10 ? x[i] : 10.0;
  for (int i = 0; i < kBlock; ++i) {
    const Shift shift = shift_by_ten(low[i]);
    product[i] = shift.product;
    share[i] = shift.slope / shift.product;
  }
  for (int i = 0; i < kBlock; ++i) low[i] = x[i] < 10 ? x[i] + y[i] : 10.0;
  for (int i = 0; i < kBlock; ++i) low[i] = low[i] < 1e20 ? low[i] : 1e20;
  for (int i = 0; i < kBlock; ++i) {
    const Shift shift = shift_by_ten(low[i]);
    product[i] /= shift.product;
    share[i] -= shift.slope / shift.product;
  }
  for (int i = 0; i < kBlock; ++i) far[i] = x[i] < 10 ? x[i] + 10 : x[i];
  for (int i = 0; i < kBlock; ++i) grown[i] = y[i] / far[i];
  for (int i = 0; i < kBlock; ++i) small[i] = log1p_inside(grown[i] < 1 ? grown[i] : 1.0);
  for (int i = 0; i < kBlock; ++i) large[i] = log_normal_number(1 + grown[i]);
  for (int i = 0; i < kBlock; ++i) grown[i] = grown[i] < 1 ? small[i] : large[i];
  for (int i = 0; i < kBlock; ++i) {
    const double sum = far[i] + y[i];
    log_rising[i] = y[i] * (log_normal_number(sum) - 1) + (far[i] - 0.5) * grown[i];
    log_rising[i] += rest_of_stirling(sum) - rest_of_stirling(far[i]) + log_normal_number(product[i]);
    slope[i] = grown[i] - log_minus_digamma(sum) + log_minus_digamma(far[i]) + share[i];
  }
}

}  // namespace stanpool
