// Where windows lie on an array, and the elements of one of them.
//
// Invariant: what the attributes say is checked, and `taps` gives elements of the array only, so no windows
// can lead out of it, whatever the shape of the results.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/kernel.h"

namespace anima::kernels {

constexpr int64_t kMostTaps = 32;  // elements of a window along a dimension
constexpr int64_t kMostDimensions = 8;

// A dimension of the array and of the results, and how windows lie along it.
struct Window {
  int64_t n, count;                       // elements, results
  int64_t size, stride, low, base, step;  // as in `lax.reduce_window`; `base` and `step`: the dilations
  int64_t in_stride, out_stride;
  bool plain;  // there is one window for each element, which has nothing else

  // The elements of one window: how many, and pointers to them.
  template <typename T>
  int64_t taps(int64_t place, const T* x, const T** found) const {
    if (place >= inside && place < outside) {
      x += (place * stride - low) * in_stride;
      for (int64_t k = 0; k < size; ++k) found[k] = x + k * step * in_stride;
      return size;
    }
    int64_t count = 0;
    for (int64_t k = 0; k < size; ++k) {
      int64_t at = index(place, k);
      if (at >= 0) found[count++] = x + at * in_stride;
    }
    return count;
  }

  // How many places from `place` on, before `end`, have elements that lie like its own, a stride apart.
  int64_t alike(int64_t place, int64_t end) const {
    return place >= inside && place < outside ? std::min(end, outside) - place : 1;
  }

  // The element at a place of a window; -1 for padding and holes.
  int64_t index(int64_t place, int64_t k) const {
    int64_t at = place * stride + k * step - low;
    if (at < 0) return -1;
    if (base != 1) {
      if (at % base != 0) return -1;
      at /= base;
    }
    return at < n ? at : -1;
  }

  // The places from `inside` to `outside` have all their elements, without holes.
  int64_t inside, outside;

  void find_inside() {
    inside = outside = 0;
    const int64_t room = n - 1 - (size - 1) * step + low;
    if (base != 1 || room < 0) return;
    outside = std::min(room / stride + 1, count);
    inside = std::min(low > 0 ? (low + stride - 1) / stride : 0, outside);
  }
};

struct Windows {
  // Reads them from the attributes of a call: `size0`, `stride0`, `low0`, `base0`, `step0`, `size1`, ...
  Windows(const Call& call, const ffi::Buffer& x, const ffi::Buffer& results) : rank(x.rank) {
    if (rank < 1 || rank > kMostDimensions || results.rank != rank) {
      throw KernelError("windows of another number of dimensions were expected");
    }
    int64_t in_stride = 1, out_stride = 1;
    for (int64_t d = rank - 1; d >= 0; --d) {
      Window& window = windows[d];
      window.n = x.dims[d], window.count = results.dims[d];
      window.size = read(call, "size", d, 1, kMostTaps);
      window.stride = read(call, "stride", d, 1, kFarthest);
      window.low = read(call, "low", d, -kFarthest, kFarthest);
      window.base = read(call, "base", d, 1, kFarthest);
      window.step = read(call, "step", d, 1, kFarthest);
      window.plain = window.size == 1 && window.stride == 1 && window.low == 0 && window.base == 1;
      if (window.plain && window.count != window.n)
        throw KernelError("windows of other places were expected");
      if (!window.plain) first = d, last = std::max(last, d);
      window.in_stride = in_stride, window.out_stride = out_stride;
      window.find_inside();
      in_stride *= window.n, out_stride *= window.count;
    }
    if (first == kMostDimensions) first = last = rank - 1;
  }

  const Window& operator[](int64_t d) const { return windows[d]; }

  // How often the dimensions before the first window are there.
  int64_t outer() const {
    int64_t result = 1;
    for (int64_t d = 0; d < first; ++d) result *= windows[d].n;
    return result;
  }

  int64_t rank;
  int64_t first = kMostDimensions, last = -1;  // dimensions that are not plain
  Window windows[kMostDimensions];

 private:
  static constexpr int64_t kFarthest = int64_t{1} << 24;  // so that no place overflows

  static int64_t read(const Call& call, const char* name, int64_t d, int64_t least, int64_t most) {
    const std::string full = name + std::to_string(d);
    const int64_t value = call.integer(full.c_str());
    if (value < least || value > most)
      throw KernelError("a kernel was called with " + full + " out of range");
    return value;
  }
};

}  // namespace anima::kernels
