// Products of matrices of which both have the summed dimension last: each element is that of two rows.
//
// Rows lie together in memory, so nothing is copied: tiles of four by four sums are kept in registers while
// eight rows are read side by side, and a few rows of the left matrix stay in the cache for all of the right
// one.
#include <algorithm>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/vectors.h"

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ANIMA_WIDE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define ANIMA_WIDE_CLONES
#endif

namespace anima::kernels {
namespace {

constexpr int64_t kTile = 4;
constexpr int64_t kGrain = 1 << 17;   // products that are worth a thread
constexpr int64_t kCached = 1 << 14;  // bytes of the left rows that stay in the cache

template <typename T>
struct Lanes {
  typedef T V __attribute__((vector_size(64)));
  static constexpr int64_t kSize = 64 / sizeof(T);
};

// The sums of a tile of kLeft by kRight rows, each of `length` elements.
template <typename T, int64_t kLeft, int64_t kRight>
ANIMA_INLINE void sum_tile(const T* a, const T* b, int64_t length, T* to, int64_t stride) {
  using V = typename Lanes<T>::V;
  constexpr int64_t kSize = Lanes<T>::kSize;
  V sums[kLeft][kRight] = {};
  int64_t k = 0;
  for (; k + kSize <= length; k += kSize) {
    V left[kLeft], right;
    for (int64_t i = 0; i < kLeft; ++i) std::memcpy(&left[i], a + i * length + k, sizeof left[i]);
    for (int64_t j = 0; j < kRight; ++j) {
      std::memcpy(&right, b + j * length + k, sizeof right);
      for (int64_t i = 0; i < kLeft; ++i) sums[i][j] += left[i] * right;
    }
  }
  for (int64_t i = 0; i < kLeft; ++i) {
    for (int64_t j = 0; j < kRight; ++j) {
      T lanes[kSize];
      std::memcpy(lanes, &sums[i][j], sizeof lanes);
      for (int64_t width = kSize / 2; width > 0; width /= 2) {
        for (int64_t l = 0; l < width; ++l) lanes[l] += lanes[l + width];
      }
      T total = lanes[0];
      for (int64_t rest = k; rest < length; ++rest) total += a[i * length + rest] * b[j * length + rest];
      to[i * stride + j] = total;
    }
  }
}

// Rows of the product, for `rows` rows of the left matrix and all `columns` of the right one.
template <typename T>
ANIMA_INLINE void sum_rows_of(const T* a, const T* b, int64_t rows, int64_t columns, int64_t length, T* to) {
  int64_t j = 0;
  for (; j + kTile <= columns; j += kTile) {
    int64_t i = 0;
    for (; i + kTile <= rows; i += kTile) {
      sum_tile<T, kTile, kTile>(a + i * length, b + j * length, length, to + i * columns + j, columns);
    }
    for (; i < rows; ++i) {
      sum_tile<T, 1, kTile>(a + i * length, b + j * length, length, to + i * columns + j, columns);
    }
  }
  for (; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) {
      sum_tile<T, 1, 1>(a + i * length, b + j * length, length, to + i * columns + j, columns);
    }
  }
}

ANIMA_WIDE_CLONES void sum_rows(const float* a, const float* b, int64_t rows, int64_t columns, int64_t length,
                                float* to) {
  sum_rows_of(a, b, rows, columns, length, to);
}
ANIMA_WIDE_CLONES void sum_rows(const double* a, const double* b, int64_t rows, int64_t columns,
                                int64_t length, double* to) {
  sum_rows_of(a, b, rows, columns, length, to);
}

template <typename T>
void multiply(const Call& call, int64_t length) {
  const T* a = data<T>(call.operand(0));
  const T* b = data<T>(call.operand(1));
  T* to = data<T>(call.result(0));
  const int64_t rows = size_of(call.operand(0)) / length, columns = size_of(call.operand(1)) / length;
  const int64_t fitting = kCached / static_cast<int64_t>(sizeof(T)) / length;
  const int64_t block = std::max(fitting / kTile * kTile, kTile);
  const int64_t blocks = (rows + block - 1) / block;
  const int64_t grain = kGrain / (block * columns * length) + 1;
  parallel_for(call.frame(), blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * block; first < std::min(end * block, rows); first += block) {
      sum_rows(a + first * length, b, std::min(block, rows - first), columns, length, to + first * columns);
    }
  });
}

void product_of_rows(const Call& call) {
  call.expect(2, 1);
  const ffi::Buffer &a = call.operand(0), &b = call.operand(1), &to = call.result(0);
  const int64_t length = call.integer("summed");
  if (length < 1 || size_of(a) % length != 0 || size_of(b) % length != 0) {
    throw KernelError("a product of rows was called with rows of another length");
  }
  const int64_t rows = size_of(a) / length, columns = size_of(b) / length;
  if (columns != 0 ? size_of(to) % columns != 0 || size_of(to) / columns != rows : size_of(to) != 0) {
    throw KernelError("a product of rows was called for a result of another size");
  }
  if (size_of(to) == 0) return;
  if (a.type == ffi::DataType::kF64) return multiply<double>(call, length);
  multiply<float>(call, length);
}

}  // namespace

extern const Kernel kRowProductKernels[] = {kernel<product_of_rows>("anima_product_of_rows"),
                                            {nullptr, nullptr}};

}  // namespace anima::kernels
