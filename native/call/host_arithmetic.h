// Operations on two numbers, with XLA's results: what is elementwise and what is combined at an index share
// them.
#pragma once

#include <type_traits>

#include "call/host_kernel.h"

namespace anima {

// Whole numbers are added as unsigned ones: what is too large wraps, as XLA's does.
template <class T>
using Wrapping = typename std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>,
                                             std::make_unsigned<T>, std::common_type<T>>::type;

struct Add {
  static constexpr Care kCare = Care::kZeros;
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};
struct Subtract {
  static constexpr Care kCare = Care::kZeros;
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};
struct Multiply {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      // Unsigned numbers narrower than int would be promoted to it, and overflow.
      return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    } else {
      return a * b;
    }
  }
};
struct Maximum {
  static constexpr Care kCare = Care::kZeros;
  template <class T>
  static T of(T a, T b) {
    return a > b ? a : b;
  }
};
struct Minimum {
  static constexpr Care kCare = Care::kZeros;
  template <class T>
  static T of(T a, T b) {
    return a < b ? a : b;
  }
};
struct And {
  static constexpr Care kCare = Care::kNone;
  template <class T>
  static T of(T a, T b) {
    return a & b;
  }
};
struct Or {
  static constexpr Care kCare = Care::kNone;
  template <class T>
  static T of(T a, T b) {
    return a | b;
  }
};

}  // namespace anima
