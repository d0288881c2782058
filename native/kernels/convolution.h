// How the windows of a convolution lie on its operand, in two spatial dimensions.
//
// Invariant: the attributes of a call are checked here, and its shapes against each other by those who read
// them; so what places of windows meet can be computed without overflow.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/parallel.h"

namespace anima::kernels {

// Window k at place p starts with element `(p * stride + k * step - low) / base`, if that is one.
struct Along {
  int64_t n, size, places;  // elements, of the window, of the result
  int64_t stride, low, base, step;
};

// Reads the attributes of spatial dimension `d`: `stride0`, `low0`, `base0`, `step0`, `stride1`, ...
inline Along read_along(const Call& call, int d, int64_t n, int64_t size, int64_t places) {
  constexpr int64_t kFarthest = int64_t{1} << 24;
  const auto read = [&](const char* name, int64_t least) {
    const int64_t value = call.integer((name + std::to_string(d)).c_str());
    if (value < least || value > kFarthest)
      throw KernelError("a convolution was called with a wrong attribute");
    return value;
  };
  return {n, size, places, read("stride", 1), read("low", 0), read("base", 1), read("step", 1)};
}

// A kernel of two operands: `Kind<T>(call).run(frame)` for the element type of the first.
template <template <typename> class Kind>
void run_kind(const Call& call) {
  call.expect(2, 1);
  if (call.operand(0).type == ffi::DataType::kF64) return Kind<double>(call).run(call.frame());
  Kind<float>(call).run(call.frame());
}

inline void expect_shape(const ffi::Buffer& buffer, int64_t a, int64_t b, int64_t c, int64_t d) {
  const int64_t sizes[] = {a, b, c, d};
  for (int64_t i = 0; i < 4; ++i) {
    if (dimension(buffer, i) != sizes[i]) throw KernelError("a convolution was called with other shapes");
  }
}

// Pixels [first, end) of each of `rows` rows of `n`, with zeros in the place of those that are not there.
template <typename T>
std::unique_ptr<T[]> padded_rows(ffi::CallFrame& frame, const T* x, int64_t rows, int64_t n, int64_t first,
                                 int64_t end, int64_t pixel) {
  const int64_t whole = (end - first) * pixel;
  std::unique_ptr<T[]> padded(new T[rows * whole]);
  const int64_t from = std::clamp<int64_t>(first, 0, n), until = std::clamp<int64_t>(end, from, n);
  const int64_t before = std::min(std::max<int64_t>(-first, 0) * pixel, whole);
  parallel_for(frame, rows, (1 << 14) / (whole + 1) + 1, [&](int64_t begin, int64_t last) {
    for (int64_t i = begin; i < last; ++i) {
      T* to = padded.get() + i * whole;
      std::fill(to, to + before, T(0));
      T* behind = std::copy(x + (i * n + from) * pixel, x + (i * n + until) * pixel, to + before);
      std::fill(behind, to + whole, T(0));
    }
  });
  return padded;
}

// Places along a dimension, a period apart, and the elements of the window that they meet.
struct Phase {
  struct Tap {
    int64_t place, offset;  // of the window; of the element from that of the first tap
  };
  int64_t first, period, count, x_step;
  std::vector<Tap> taps;

  // The share of the window that meets one of `n` elements.
  double inside(int64_t n) const {
    double met = 0;
    for (const Tap& tap : taps) {
      const int64_t first = tap.offset < 0 ? (-tap.offset + x_step - 1) / x_step : 0;
      const int64_t end = tap.offset < n ? (n - 1 - tap.offset) / x_step + 1 : 0;
      met += std::max<int64_t>(std::min(end, count) - first, 0);
    }
    return taps.empty() ? 1 : met / (count * taps.size());
  }
};

inline int64_t divisor(int64_t a, int64_t b) { return b == 0 ? a : divisor(b, a % b); }

inline std::vector<Phase> phases_of(const Along& along) {
  const int64_t period = along.base / divisor(along.base, along.stride);
  std::vector<Phase> phases;
  for (int64_t first = 0; first < std::min(period, along.places); ++first) {
    Phase phase{
        first, period, (along.places - first + period - 1) / period, period * along.stride / along.base, {}};
    for (int64_t k = 0; k < along.size; ++k) {
      const int64_t at = first * along.stride + k * along.step - along.low;
      if (at % along.base == 0) phase.taps.push_back({k, at / along.base});
    }
    phases.push_back(std::move(phase));
  }
  return phases;
}

}  // namespace anima::kernels
