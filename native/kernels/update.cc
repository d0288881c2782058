// Windows of an array are written over, in the array's own memory.
//
// XLA's CPU compiler computes with numbers of fewer than 16 bits, and with bfloat16, as float32: for an
// update of one row it converts the whole array, and back. Here nothing is computed, so only the windows are
// touched.
#include <algorithm>
#include <cstring>

#include "kernels/kernel.h"

namespace anima::kernels {
namespace {

constexpr int64_t kMaxRank = 64;

// Where windows of `updates` go: their sizes, and the strides of both arrays, in elements.
struct Windows {
  int64_t rank, contiguous;  // from dimension `contiguous` on, a window is one piece of both
  int64_t sizes[kMaxRank], limits[kMaxRank], strides[kMaxRank], window_strides[kMaxRank];
  int64_t elements;  // of a window
};

Windows windows_of(const ffi::Buffer& x, const ffi::Buffer& updates) {
  Windows w = {};
  w.rank = x.rank;
  if (w.rank > kMaxRank) throw KernelError("an update was called for an array of too many dimensions");
  if (updates.rank != w.rank + 1) throw KernelError("an update was called with windows of another rank");
  int64_t stride = 1;
  w.elements = 1;
  for (int64_t d = w.rank - 1; d >= 0; --d) {
    w.sizes[d] = updates.dims[d + 1];
    w.limits[d] = x.dims[d] - w.sizes[d];
    if (w.limits[d] < 0) throw KernelError("an update was called with windows larger than the array");
    w.strides[d] = stride;
    w.window_strides[d] = w.elements;
    stride *= x.dims[d];
    w.elements *= w.sizes[d];
  }
  w.contiguous = w.rank;
  while (w.contiguous > 0) {
    --w.contiguous;
    if (w.limits[w.contiguous] > 0) break;
  }
  return w;
}

// Copies the part of a window from dimension `d` on.
void copy(const Windows& w, int64_t d, char* to, const char* from, int64_t bytes) {
  if (d >= w.contiguous) {
    const int64_t piece = d < w.rank ? w.sizes[d] * w.window_strides[d] : 1;
    std::memcpy(to, from, piece * bytes);
    return;
  }
  for (int64_t i = 0; i < w.sizes[d]; ++i) {
    copy(w, d + 1, to + i * w.strides[d] * bytes, from + i * w.window_strides[d] * bytes, bytes);
  }
}

template <typename Index>
void write_windows(const Windows& w, const ffi::Buffer& starts, bool clamp, char* to, const char* from,
                   int64_t bytes) {
  const auto* index = data<Index>(starts);
  const int64_t count = starts.dims[0], length = starts.dims[1];
  for (int64_t i = 0; i < count; ++i, index += length, from += w.elements * bytes) {
    int64_t place = 0;
    bool inside = true;
    for (int64_t d = 0; d < length; ++d) {
      int64_t start = index[d];
      if (clamp) start = std::clamp<int64_t>(start, 0, w.limits[d]);
      inside = inside && start >= 0 && start <= w.limits[d];
      place += inside ? start * w.strides[d] : 0;
    }
    if (inside) copy(w, 0, to + place * bytes, from, bytes);
  }
}

// Operands: an array, the starts of windows in its first dimensions [n, k], and what is written there [n,
// ...].
void update(const Call& call) {
  call.expect(3, 1);
  const ffi::Buffer &x = call.operand(0), &starts = call.operand(1), &updates = call.operand(2);
  const ffi::Buffer& y = call.result(0);
  expect_same_shape(x, y);
  if (x.type != y.type || x.type != updates.type) {
    throw KernelError("an update was called with arrays of different element types");
  }
  const int64_t bytes = bytes_of(x.type);
  const Windows w = windows_of(x, updates);
  if (starts.rank != 2 || starts.dims[0] != updates.dims[0] || starts.dims[1] > x.rank) {
    throw KernelError("an update was called with starts of another shape");
  }
  auto* to = static_cast<char*>(y.data);
  if (to != x.data && size_of(x) > 0) std::memcpy(to, x.data, size_of(x) * bytes);
  if (size_of(updates) == 0) return;
  const auto* from = static_cast<const char*>(updates.data);
  const bool clamp = call.flag("clamp");
  if (starts.type == ffi::DataType::kS64) {
    write_windows<int64_t>(w, starts, clamp, to, from, bytes);
  } else {
    write_windows<int32_t>(w, starts, clamp, to, from, bytes);
  }
}

}  // namespace

extern const Kernel kUpdateKernels[] = {kernel<update>("anima_update"), {nullptr, nullptr}};

}  // namespace anima::kernels
