// Softmax of rows: exponentials of their elements less the largest, scaled to sum to 1.
//
// A row is read, exponentiated and scaled while the cache has it. A NaN comes through as the exponential of
// itself, and infinities as that of a difference that is none, so the largest element may pass NaNs by.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread
constexpr int64_t kBlock = 1 << 8;   // elements whose sum is in single precision
constexpr float kInfinity = std::numeric_limits<float>::infinity();

typedef float Four __attribute__((vector_size(16)));
typedef float Narrow __attribute__((vector_size(32)));
typedef float Wide __attribute__((vector_size(64)));
typedef double FourDoubles __attribute__((vector_size(32)));
typedef double Doubles __attribute__((vector_size(64)));
template <typename V>
struct Of;
template <>
struct Of<Narrow> {
  typedef int32_t Whole __attribute__((vector_size(32)));
  typedef Doubles Sums;
  static constexpr Whole kPlaces = {0, 1, 2, 3, 4, 5, 6, 7};
};
template <>
struct Of<Wide> {
  typedef int32_t Whole __attribute__((vector_size(64)));
  typedef double Sums __attribute__((vector_size(128)));
  static constexpr Whole kPlaces = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
};
template <typename V>
constexpr int64_t kSize = sizeof(V) / sizeof(float);

// e**x to 0.6 units in the last place, for x <= 0 or NaN; 0 where it is less than the least normal number.
//
// x is k * log(2) + r (Cody and Waite, 1980: the upper part of the logarithm has so few bits that its product
// is exact), and e**r = 1 + r + r**2 * q(r) to 4e-9: least squares with Lawson's weights (1961).
template <typename V>
ANIMA_INLINE void exponentiate(V& x) {
  constexpr float kShift =
      12583039.0f;  // 1.5 * 2**23 + 127: what is added to it is rounded to a whole number
  const V shifted = x * 1.44269504f + kShift, k = shifted - kShift;
  const V r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  V q = r * 0.001381422160193324f + 0.00836889911442995f;
  q = q * r + 0.04166840389370918f;
  q = q * r + 0.1666651964187622f;
  q = q * r + 0.4999999403953552f;
  const V power = (q * (r * r) + r) + 1.0f;
  typename Of<V>::Whole bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits <<= 23;
  V scale;
  std::memcpy(&scale, &bits, sizeof scale);
  x = x < -87.3365448f ? V{} : power * scale;
}

template <typename V>
ANIMA_INLINE void keep_larger(V& most, const V& next) {
  most = next > most ? next : most;
}

// The upper and the lower half of a vector.
template <typename Half, typename V>
ANIMA_INLINE void halve(const V& x, Half (&halves)[2]) {
  static_assert(sizeof halves == sizeof x, "halves are half as large");
  std::memcpy(halves, &x, sizeof x);
}

ANIMA_INLINE float largest_lane(const Narrow& x) {
  Four halves[2];
  halve(x, halves);
  keep_larger(halves[0], halves[1]);
  const Four& y = halves[0];
  return std::max(std::max(y[0], y[1]), std::max(y[2], y[3]));
}
ANIMA_INLINE float largest_lane(const Wide& x) {
  Narrow halves[2];
  halve(x, halves);
  keep_larger(halves[0], halves[1]);
  return largest_lane(halves[0]);
}

ANIMA_INLINE double sum_of_lanes(const Doubles& x) {
  FourDoubles halves[2];
  halve(x, halves);
  const FourDoubles y = halves[0] + halves[1];
  return (y[0] + y[1]) + (y[2] + y[3]);
}
ANIMA_INLINE double sum_of_lanes(const Of<Wide>::Sums& x) {
  Doubles halves[2];
  halve(x, halves);
  return sum_of_lanes(halves[0] + halves[1]);
}

template <typename V>
ANIMA_INLINE float largest(const float* x, int64_t n) {
  constexpr int64_t kVectors = 4, kStep = kVectors * kSize<V>;
  V most[kVectors], next;
  for (V& m : most) m = V{} - kInfinity;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    for (int64_t k = 0; k < kVectors; ++k) {
      std::memcpy(&next, x + i + k * kSize<V>, sizeof next);
      keep_larger(most[k], next);
    }
  }
  keep_larger(most[0], most[1]), keep_larger(most[2], most[3]), keep_larger(most[0], most[2]);
  for (; i + kSize<V> <= n; i += kSize<V>) {
    std::memcpy(&next, x + i, sizeof next);
    keep_larger(most[0], next);
  }
  if (i < n && n >= kSize<V>) {  // some of them again
    std::memcpy(&next, x + n - kSize<V>, sizeof next);
    keep_larger(most[0], next);
    i = n;
  }
  float result = largest_lane(most[0]);
  for (; i < n; ++i) result = std::max(result, x[i]);
  return result;
}

// y = e**(x - most) for the last elements of a row, fewer than a vector has; adds them to `sum`.
template <typename V>
ANIMA_INLINE void last_exponentials(const float* x, float most, float* y, int64_t begin, int64_t n, V& sum) {
  V next, before;
  if (n >= kSize<V>) {
    const int64_t from = n - kSize<V>;
    const typename Of<V>::Whole wanted = Of<V>::kPlaces >= static_cast<int32_t>(begin - from);
    std::memcpy(&next, x + from, sizeof next);
    std::memcpy(&before, y + from, sizeof before);
    next -= most;
    exponentiate(next);
    const V all = wanted ? next : before;
    std::memcpy(y + from, &all, sizeof all);
    sum += wanted ? next : V{};
    return;
  }
  next = V{} - kInfinity;
  std::memcpy(&next, x + begin, (n - begin) * sizeof *x);
  next -= most;
  exponentiate(next);
  std::memcpy(y + begin, &next, (n - begin) * sizeof *y);
  sum += next;
}

// y = e**(x - most); returns the sum.
template <typename V>
ANIMA_INLINE double exponentials(const float* x, float most, float* y, int64_t n) {
  typename Of<V>::Sums total{};
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t end = std::min(n, start + kBlock);
    V sum{}, other{}, next, second;
    int64_t i = start;
    for (; i + 2 * kSize<V> <= end; i += 2 * kSize<V>) {
      std::memcpy(&next, x + i, sizeof next);
      std::memcpy(&second, x + i + kSize<V>, sizeof second);
      next -= most, second -= most;
      exponentiate(next), exponentiate(second);
      std::memcpy(y + i, &next, sizeof next);
      std::memcpy(y + i + kSize<V>, &second, sizeof second);
      sum += next, other += second;
    }
    for (; i + kSize<V> <= end; i += kSize<V>) {
      std::memcpy(&next, x + i, sizeof next);
      next -= most;
      exponentiate(next);
      std::memcpy(y + i, &next, sizeof next);
      sum += next;
    }
    if (i < end) last_exponentials<V>(x, most, y, i, n, other);
    total += __builtin_convertvector(sum + other, typename Of<V>::Sums);
  }
  return sum_of_lanes(total);
}

template <typename V>
ANIMA_INLINE void softmax_rows(const float* x, float* y, int64_t rows, int64_t n) {
  for (int64_t row = 0; row < rows; ++row, x += n, y += n) {
    const double inverse = 1 / exponentials<V>(x, largest<V>(x, n), y, n);
    // In two parts, whose products add up to the quotient, rounded once where processors add and multiply in
    // one.
    const auto scale = static_cast<float>(inverse),
               rest = static_cast<float>(inverse - static_cast<double>(scale));
    for (int64_t i = 0; i < n; ++i) y[i] = y[i] * scale + y[i] * rest;
  }
}

ANIMA_CLONES void narrow_rows(const float* x, float* y, int64_t rows, int64_t n) {
  softmax_rows<Narrow>(x, y, rows, n);
}

#ifdef ANIMA_HAS_WIDE
ANIMA_WIDE void wide_rows(const float* x, float* y, int64_t rows, int64_t n) {
  softmax_rows<Wide>(x, y, rows, n);
}
#endif

// Along the last dimension.
void softmax(const Call& call) {
  call.expect(1, 1);
  expect_same_shape(call.operand(0), call.result(0));
  const float* x = data<float>(call.operand(0));
  float* y = data<float>(call.result(0));
  const int64_t n = dimension(call.operand(0), call.operand(0).rank - 1), size = size_of(call.operand(0));
  if (size == 0) return;
  auto* run = narrow_rows;
#ifdef ANIMA_HAS_WIDE
  if (has_wide()) run = wide_rows;
#endif
  parallel_for(call.frame(), size / n, kGrain / n + 1,
               [&](int64_t begin, int64_t end) { run(x + begin * n, y + begin * n, end - begin, n); });
}

}  // namespace

extern const Kernel kSoftmaxKernels[] = {kernel<softmax>("anima_softmax"), {nullptr, nullptr}};

}  // namespace anima::kernels
