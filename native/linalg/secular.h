// The eigenvalues of a diagonal matrix plus a multiple of a vector's product with itself.
//
// With ascending diagonal elements d, numbers z that are not zero and rho > 0, they are the roots of
// f(x) = 1 / rho + sum z[j]^2 / (d[j] - x), one above each d[j] (Golub 1973). A root is found as a distance
// mu from the nearest d, so that its distances from all of them are exact to a few units in the last place;
// the steps are those of the "middle way" (R.-C. Li, LAPACK Working Note 89), and bisection where they leave
// the interval or are slow.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/clones.h"
#include "kernels/vectors.h"

namespace anima::linalg {

// Behind the last of `d` and of the squares of z there is room for a vector: elements far above, and zeros.
template <typename T>
struct Secular {
  const T *d, *squares;
  int64_t size;
  T inverse_rho;
};

// Of the terms squares[j] / (d[j] - x), x being `mu` above `origin`: their sum, that of their magnitudes, and
// that of their derivatives.
template <typename T>
struct PoleSums {
  T value, magnitude, slope;
};
template <typename T>
ANIMA_CLONES PoleSums<T> pole_sums(const Secular<T>& s, T origin, T mu) {
  using Of = kernels::VectorOf<T>;
  using V = typename Of::V;
  V values = {}, magnitudes = {}, slopes = {};
  for (int64_t j = 0; j < s.size; j += Of::kSize) {
    V x, z;
    kernels::load<1>(x, s.d + j);
    kernels::load<1>(z, s.squares + j);
    const V inverse = 1 / ((x - origin) - mu), term = z * inverse;
    values += term;
    magnitudes += term < 0 ? -term : term;
    slopes += term * inverse;
  }
  PoleSums<T> sums = {0, 0, 0};
  for (int k = 0; k < Of::kSize; ++k) {
    sums.value += values[k], sums.magnitude += magnitudes[k], sums.slope += slopes[k];
  }
  return sums;
}
template <typename T>
ANIMA_CLONES void pole_distances(const Secular<T>& s, T origin, T mu, T* to) {
  const T* d = s.d;
  const int64_t size = s.size;
  ANIMA_INDEPENDENT
  for (int64_t j = 0; j < size; ++j) to[j] = (d[j] - origin) - mu;
}

// A root of c x^2 - a x + b, the one that steps go to.
template <typename T>
T step_root(T a, T b, T c) {
  const T root = std::sqrt(std::abs(a * a - 4 * b * c));
  return a <= 0 ? (a - root) / (2 * c) : 2 * b / (a + root);
}

// What is known of root `i`.
template <typename T>
class SecularRoot {
 public:
  SecularRoot(const Secular<T>& s, int64_t i)
      : s_(s),
        last_(i == s.size - 1),
        below_(last_ ? i : i + 1),
        left_(s.d[below_ - 1]),
        right_(s.d[below_]) {
    last_ ? begin_last() : begin_between();
    mu_ = inside(mu_, (low_ + high_) / 2);
    constexpr int kSteps = 100, kQuick = 12;
    for (int step = 0; step < kSteps; ++step) {
      const PoleSums<T> sums = pole_sums(s, origin_, mu_);
      const T value = s.inverse_rho + sums.value, slope = sums.slope;
      const T size = 8 * sums.magnitude + s.inverse_rho + std::abs(mu_) * slope;
      if (!(std::abs(value) > std::numeric_limits<T>::epsilon() * size)) break;
      (value < 0 ? low_ : high_) = mu_;
      T change = last_ ? last_step(value, slope) : middle_step(value, slope, i);
      if (!(value * change < 0)) change = -value / slope;
      T next = inside(mu_ + change, value < 0 ? (mu_ + high_) / 2 : (mu_ + low_) / 2);
      if (step > kQuick && step % 2 == 1) next = low_ * high_ > 0 ? middle_of_signs() : (low_ + high_) / 2;
      if (next == mu_ || !(low_ < next && next < high_)) break;
      mu_ = next;
    }
  }

  T value() const { return origin_ + mu_; }
  // How far each d is above the root.
  void distances(T* to) const { pole_distances(s_, origin_, mu_, to); }

 private:
  T distance(int64_t j) const { return (s_.d[j] - origin_) - mu_; }
  T inside(T x, T otherwise) const { return low_ < x && x < high_ ? x : otherwise; }
  // Bisection of the magnitudes, which may be of any size.
  T middle_of_signs() const { return std::copysign(std::sqrt(low_) * std::sqrt(high_), low_); }

  // Between two of d: the nearer one is the origin. The sum without both of them, at the middle, gives a
  // first approximation.
  void begin_between() {
    const T gap = right_ - left_, z = s_.squares[below_ - 1], y = s_.squares[below_];
    origin_ = left_, mu_ = gap / 2;
    const T value = s_.inverse_rho + pole_sums(s_, origin_, mu_).value, others = value - (y - z) / mu_;
    if (value >= 0) {
      low_ = 0, high_ = mu_;
      mu_ = step_root(others * gap + z + y, z * gap, others);
    } else {
      origin_ = right_, low_ = -mu_, high_ = 0;
      mu_ = step_root(z + y - others * gap, -y * gap, others);
    }
  }

  // Above all of d; at most rho times the sum of the squares.
  void begin_last() {
    T total = 0;
    for (int64_t j = 0; j < s_.size; ++j) total += s_.squares[j];
    origin_ = right_, low_ = 0, high_ = total / s_.inverse_rho * (1 + 8 * std::numeric_limits<T>::epsilon());
    mu_ = high_ / 2;
    const T gap = right_ - left_, z = s_.squares[below_ - 1], y = s_.squares[below_];
    const T others = s_.inverse_rho + pole_sums(s_, origin_, mu_).value + z / (gap + mu_) + y / mu_;
    const T a = others * gap - z - y, b = y * gap;
    const T root = std::sqrt(std::abs(a * a + 4 * b * others));
    mu_ = others <= 0 ? high_ : a < 0 ? (root - a) / (2 * others) : 2 * b / (a + root);
  }

  T middle_step(T value, T slope, int64_t i) const {
    const T low = distance(below_ - 1), high = distance(below_), gap = right_ - left_;
    const bool near_left = origin_ == left_;
    const T own = near_left ? s_.squares[i] / (low * low) : s_.squares[i + 1] / (high * high);
    const T c = near_left ? value - high * slope + gap * own : value - low * slope - gap * own;
    const T a = (low + high) * value - low * high * slope, b = low * high * value;
    return c == 0 ? b / a : step_root(a, b, c);
  }

  T last_step(T value, T slope) const {
    const T low = distance(below_ - 1), high = distance(below_);
    const T own = s_.squares[below_] / (high * high);
    const T c = std::abs(value - low * (slope - own) - high * own);
    const T a = (low + high) * value - low * high * slope, b = low * high * value;
    if (c == 0) return high_ - mu_;
    const T root = std::sqrt(std::abs(a * a - 4 * b * c));
    return a >= 0 ? (a + root) / (2 * c) : 2 * b / (a - root);
  }

  const Secular<T>& s_;
  const bool last_;
  const int64_t below_;  // of the d that are below the root, or for the last one of all others
  const T left_, right_;
  T origin_ = 0, mu_ = 0, low_ = 0, high_ = 0;
};

}  // namespace anima::linalg
