// Running reductions, as what one of them has seen so far.
//
// Invariant: each has `T` (its elements), `add` (one more element), `value` (of all so far), and `join` (what
// another one saw next, having begun anew) where `kJoins`. Made anew, it has seen nothing. Where `kSkips`,
// they compare, and elements may be added to a part in any order.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/clones.h"

namespace anima::kernels {

// Sums of integers wrap: they are done without sign.
template <typename X>
struct Sum {
  using T = X;
  static constexpr bool kJoins = true, kSkips = false;
  T sum = 0;
  ANIMA_INLINE void add(T x) { sum = static_cast<T>(sum + x); }
  ANIMA_INLINE T value() const { return sum; }
  void join(const Sum& next) { add(next.sum); }
};

// In double precision, so that each result is rounded once.
template <>
struct Sum<float> {
  using T = float;
  static constexpr bool kJoins = true, kSkips = false;
  double sum = 0;
  ANIMA_INLINE void add(float x) { sum += static_cast<double>(x); }
  ANIMA_INLINE float value() const { return static_cast<float>(sum); }
  void join(const Sum& next) { sum += next.sum; }
};

// With the sum of all rounding errors beside (Knuth's exact difference; Ogita, Rump and Oishi's Sum2).
template <>
struct Sum<double> {
  using T = double;
  static constexpr bool kJoins = true, kSkips = false;
  double sum = 0, missed = 0;
  ANIMA_INLINE void add(double x) {
    const double next = sum + x, part = next - sum;
    missed += (sum - (next - part)) + (x - part);
    sum = next;
  }
  // The comparison fails also where an infinity made `missed` NaN.
  ANIMA_INLINE double value() const { return std::abs(missed) > 0 ? sum + missed : sum; }
  void join(const Sum& next) {
    add(next.sum);
    missed += next.missed;
  }
};

template <typename X>
struct Product {
  using T = X;
  static constexpr bool kJoins = true, kSkips = false;
  T product = 1;
  ANIMA_INLINE void add(T x) {
    // uint16_t would be multiplied as int, which may overflow
    using Wide = std::conditional_t<(sizeof(T) < 4), uint32_t, T>;
    product = static_cast<T>(static_cast<Wide>(product) * static_cast<Wide>(x));
  }
  ANIMA_INLINE T value() const { return product; }
  void join(const Product& next) { add(next.product); }
};

// Those of floating-point numbers do not join: 0 times what overflowed in a part of its own would be NaN.
template <>
struct Product<float> {
  using T = float;
  static constexpr bool kJoins = false, kSkips = false;
  double product = 1;
  ANIMA_INLINE void add(float x) { product *= static_cast<double>(x); }
  ANIMA_INLINE float value() const { return static_cast<float>(product); }
};

template <>
struct Product<double> {
  using T = double;
  static constexpr bool kJoins = false, kSkips = false;
  double product = 1, missed = 0;
  ANIMA_INLINE void add(double x) {
    const double next = product * x;
    missed = std::fma(missed, x, std::fma(product, x, -next));
    product = next;
  }
  ANIMA_INLINE double value() const { return std::abs(missed) > 0 ? product + missed : product; }
};

template <>
struct Product<std::complex<float>> {
  using T = std::complex<float>;
  static constexpr bool kJoins = false, kSkips = false;
  double re = 1, im = 0;
  ANIMA_INLINE void add(T x) {
    const double a = x.real(), b = x.imag(), before = re;
    re = before * a - im * b;
    im = before * b + im * a;
  }
  ANIMA_INLINE T value() const { return {static_cast<float>(re), static_cast<float>(im)}; }
};

// Numbers as integers in the order of XLA's extrema: 0 is greater than -0, subnormal numbers are zeros, and a
// NaN beats all.
template <typename T, bool kMost>
struct Order {
  using Key = T;
  static ANIMA_INLINE Key key(T x) { return x; }
  static ANIMA_INLINE T number(Key key) { return key; }
  static constexpr Key kWorst = kMost ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
};

template <typename T, typename Int, bool kMost>
struct FloatOrder {
  using Key = Int;
  static constexpr Int kMax = std::numeric_limits<Int>::max(), kMin = std::numeric_limits<Int>::min();
  static constexpr Int kInfinity = kMax - ((Int{1} << (std::numeric_limits<T>::digits - 1)) - 1);
  static constexpr Int kNormal = Int{1} << (std::numeric_limits<T>::digits - 1);
  static constexpr Key kWorst = kMost ? kInfinity ^ Int{-1} : kInfinity;

  static ANIMA_INLINE Key key(T x) {
    Int bits;
    std::memcpy(&bits, &x, sizeof bits);
    const Int size = bits & kMax;
    const Int flushed = size < kNormal ? bits & kMin : bits;
    const Int mask =
        -static_cast<Int>(size > kInfinity);  // a choice by `?:` would keep loops from vectorising
    return (turned(flushed) & ~mask) | ((kMost ? kMax : kMin) & mask);
  }
  static ANIMA_INLINE T number(Key key) {
    const Int bits = turned(key);
    T x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  }

 private:
  // Its own inverse. Without a branch, which would be taken at random.
  static ANIMA_INLINE Int turned(Int bits) { return bits ^ ((bits >> (8 * sizeof bits - 1)) & kMax); }
};
template <bool kMost>
struct Order<float, kMost> : FloatOrder<float, int32_t, kMost> {};
template <bool kMost>
struct Order<double, kMost> : FloatOrder<double, int64_t, kMost> {};

template <typename X, bool kMost>
struct Extremum {
  using T = X;
  using In = Order<T, kMost>;
  static constexpr bool kJoins = true, kSkips = true;
  typename In::Key best = In::kWorst;
  ANIMA_INLINE void take(typename In::Key key) {
    if (kMost) {
      best = key > best ? key : best;
    } else {
      best = key < best ? key : best;
    }
  }
  ANIMA_INLINE void add(T x) { take(In::key(x)); }
  ANIMA_INLINE T value() const { return In::number(best); }
  ANIMA_INLINE void join(const Extremum& next) { take(next.best); }
  ANIMA_INLINE bool operator==(const Extremum& other) const { return best == other.best; }
};
template <typename T>
using Maximum = Extremum<T, true>;
template <typename T>
using Minimum = Extremum<T, false>;

// The sum of exp(x - top), where `top` is the greatest element so far.
template <typename X>
struct LogSumExp {
  using T = X;
  static constexpr bool kJoins = true, kSkips = false;
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  ANIMA_INLINE void add(T element) { take(static_cast<double>(element), 1); }
  ANIMA_INLINE T value() const { return static_cast<T>(top + std::log(sum)); }
  void join(const LogSumExp& next) { take(next.top, next.sum); }

 private:
  ANIMA_INLINE void take(double other, double weight) {
    if (other > top) {
      sum = sum * std::exp(top - other) + weight;
      top = other;
    } else if (other == top) {  // both may be infinite
      sum += weight;
    } else {  // or NaN
      sum += std::exp(other - top) * weight;
    }
  }
};

}  // namespace anima::kernels
