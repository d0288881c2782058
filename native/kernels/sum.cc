// Sums of rows whose elements lie together, as they stand in memory.
//
// A block of a row is added up lane by lane in vectors, enough of them that no addition waits for the one
// before; the blocks are added in double (`running.h`), so that errors do not grow with the row. How a row is
// cut follows from its length alone: a sum depends neither on the number of threads nor on the processor.
#include <algorithm>
#include <vector>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/running.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread
constexpr int64_t kSpan = 1 << 15;   // elements of a piece of a row
constexpr int64_t kBlock = 1 << 11;
constexpr int kVectors = 8;

template <typename T>
struct Lanes {
  static constexpr int kSize = 32 / sizeof(T);
  typedef T V __attribute__((vector_size(32)));
  typedef T Half __attribute__((vector_size(16)));
};

template <typename T>
ANIMA_INLINE T sum_lanes(const typename Lanes<T>::V& x) {
  constexpr int kHalf = Lanes<T>::kSize / 2;
  typename Lanes<T>::Half both[2];
  std::memcpy(both, &x, sizeof x);
  const typename Lanes<T>::Half half = both[0] + both[1];
  T lanes[kHalf];
  std::memcpy(lanes, &half, sizeof half);
  return kHalf == 4 ? (lanes[0] + lanes[2 % kHalf]) + (lanes[1] + lanes[3 % kHalf]) : lanes[0] + lanes[1];
}

// The sum of `n` elements.
template <typename T>
ANIMA_INLINE T sum_block(const T* x, int64_t n) {
  using V = typename Lanes<T>::V;
  constexpr int kSize = Lanes<T>::kSize, kStep = kVectors * kSize;
  V sums[kVectors] = {}, next;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    for (int k = 0; k < kVectors; ++k) {
      std::memcpy(&next, x + i + k * kSize, sizeof next);
      sums[k] += next;
    }
  }
  V total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  for (; i + kSize <= n; i += kSize) {
    std::memcpy(&next, x + i, sizeof next);
    total += next;
  }
  T rest = 0;
  for (; i < n; ++i) rest += x[i];
  return sum_lanes<T>(total) + rest;
}

template <typename T>
ANIMA_CLONES void sum_piece(const T* x, int64_t n, Sum<T>* total) {
  for (int64_t i = 0; i < n; i += kBlock) total->add(sum_block(x + i, std::min(kBlock, n - i)));
}

template <typename T>
ANIMA_CLONES void sum_rows(const T* x, int64_t rows, int64_t length, T* y) {
  for (int64_t i = 0; i < rows; ++i) y[i] = sum_block(x + i * length, length);
}

template <typename T>
void sum(const Call& call, int64_t rows, int64_t length) {
  const auto* x = static_cast<const T*>(call.operand(0).data);
  auto* y = static_cast<T*>(call.result(0).data);
  if (length <= kBlock) {
    return parallel_for(call.frame(), rows, kGrain / (length + 1) + 1, [&](int64_t begin, int64_t end) {
      sum_rows(x + begin * length, end - begin, length, y + begin);
    });
  }
  const int64_t pieces = (length + kSpan - 1) / kSpan, span = std::min(length, kSpan);
  std::vector<Sum<T>> sums(rows * pieces);
  parallel_for(call.frame(), rows * pieces, kGrain / span + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i % pieces * span;
      sum_piece(x + i / pieces * length + at, std::min(span, length - at), &sums[i]);
    }
  });
  for (int64_t row = 0; row < rows; ++row) {
    Sum<T> total;
    for (int64_t i = 0; i < pieces; ++i) total.join(sums[row * pieces + i]);
    y[row] = total.value();
  }
}

// The result has the leading dimensions of the operand; the others are summed over.
void reduce_sum(const Call& call) {
  call.expect(1, 1);
  const ffi::Buffer &x = call.operand(0), &y = call.result(0);
  bool fits = x.type == y.type && y.rank <= x.rank;
  for (int64_t i = 0; fits && i < y.rank; ++i) fits = x.dims[i] == y.dims[i];
  if (!fits)
    throw KernelError("a sum was called for a result that is not the kernel's: of another shape or type");
  int64_t length = 1;
  for (int64_t i = y.rank; i < x.rank; ++i) length *= x.dims[i];
  const int64_t rows = size_of(y);
  if (rows == 0) return;
  switch (x.type) {
    case ffi::DataType::kF32:
      return sum<float>(call, rows, length);
    case ffi::DataType::kF64:
      return sum<double>(call, rows, length);
    case ffi::DataType::kS32:
    case ffi::DataType::kU32:
      return sum<uint32_t>(call, rows, length);
    case ffi::DataType::kS64:
    case ffi::DataType::kU64:
      return sum<uint64_t>(call, rows, length);
    default:
      throw KernelError("a sum was called with an unexpected element type");
  }
}

}  // namespace

extern const Kernel kSumKernels[] = {kernel<reduce_sum>("anima_reduce_sum"), {nullptr, nullptr}};

}  // namespace anima::kernels
