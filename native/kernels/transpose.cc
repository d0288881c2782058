// Two neighbouring groups of dimensions change places.
//
// A tile is read along its rows and written along its columns through a buffer of its own: rows that lie a
// large power of two apart share a few places in the caches, from which they would drive each other away.
#include <algorithm>
#include <cstring>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/turn.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread
constexpr int64_t kRows = 64;

// Elements of this many bytes, of whatever type.
struct alignas(8) Sixteen {
  uint64_t low, high;
};

// y[j * a + i] = x[i * b + j] for `columns` values of j, as many as lie in a line of the cache.
template <typename T>
ANIMA_CLONES void turn_columns(const T* x, T* y, int64_t a, int64_t b, int64_t columns) {
  constexpr int64_t kColumns = 64 / sizeof(T);
  alignas(64) T tile[kColumns * kRows];
  for (int64_t first = 0; first < a; first += kRows) {
    const int64_t rows = std::min(kRows, a - first);
    const T* from = x + first * b;
    int64_t i = 0;
    if constexpr (sizeof(T) == 4) {
      for (; columns == kColumns && i + 8 <= rows; i += 8) {
        turn_eight(from + i * b, b, tile + i, kRows);
        turn_eight(from + i * b + 8, b, tile + 8 * kRows + i, kRows);
      }
    }
    for (; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) tile[j * kRows + i] = from[i * b + j];
    }
    for (int64_t j = 0; j < columns; ++j) std::memcpy(y + j * a + first, tile + j * kRows, rows * sizeof(T));
  }
}

struct Sizes {
  int64_t outer, a, b, inner;  // from [outer, a, b, inner] to [outer, b, a, inner]
};

template <typename T>
void turn_elements(const Call& call, const Sizes& sizes) {
  const auto* x = static_cast<const T*>(call.operand(0).data);
  auto* y = static_cast<T*>(call.result(0).data);
  constexpr int64_t kColumns = 64 / sizeof(T);
  const int64_t blocks = (sizes.b + kColumns - 1) / kColumns;
  const int64_t grain = kGrain / (sizes.a * kColumns) + 1;
  parallel_for(call.frame(), sizes.outer * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t start = i / blocks * sizes.a * sizes.b, column = i % blocks * kColumns;
      turn_columns(x + start + column, y + start + column * sizes.a, sizes.a, sizes.b,
                   std::min(kColumns, sizes.b - column));
    }
  });
}

void turn_blocks(const Call& call, const Sizes& sizes, int64_t bytes) {
  const auto* x = static_cast<const char*>(call.operand(0).data);
  auto* y = static_cast<char*>(call.result(0).data);
  const int64_t block = sizes.inner * bytes;
  const int64_t grain = kGrain / (sizes.a * sizes.inner) + 1;
  parallel_for(call.frame(), sizes.outer * sizes.b, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const char* from = x + (row / sizes.b * sizes.a * sizes.b + row % sizes.b) * block;
      char* to = y + row * sizes.a * block;
      for (int64_t i = 0; i < sizes.a; ++i) std::memcpy(to + i * block, from + i * sizes.b * block, block);
    }
  });
}

void transpose(const Call& call) {
  call.expect(1, 1);
  const ffi::Buffer &x = call.operand(0), &y = call.result(0);
  const int64_t size = size_of(x), bytes = bytes_of(x.type);
  const Sizes sizes = {call.integer("outer"), call.integer("a"), call.integer("b"), call.integer("inner")};
  if (x.type != y.type || size_of(y) != size) {
    throw KernelError("a transpose was called for a result of another size or element type");
  }
  int64_t rest = size;
  for (int64_t factor : {sizes.outer, sizes.a, sizes.b, sizes.inner}) {
    if (factor < 1 || rest % factor != 0) throw KernelError("a transpose was called with other sizes");
    rest /= factor;
  }
  if (rest != 1) throw KernelError("a transpose was called with other sizes");
  if (sizes.inner > 1) return turn_blocks(call, sizes, bytes);
  switch (bytes) {
    case 1:
      return turn_elements<uint8_t>(call, sizes);
    case 2:
      return turn_elements<uint16_t>(call, sizes);
    case 4:
      return turn_elements<uint32_t>(call, sizes);
    case 8:
      return turn_elements<uint64_t>(call, sizes);
    default:
      return turn_elements<Sixteen>(call, sizes);
  }
}

}  // namespace

extern const Kernel kTransposeKernels[] = {kernel<transpose>("anima_transpose"), {nullptr, nullptr}};

}  // namespace anima::kernels
