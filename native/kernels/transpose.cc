// The dimensions of an array in another order.
//
// Dimensions that stay together are taken as one, and those of size 1 are dropped. What is left is a copy of
// blocks, if the last dimension stays the last, and otherwise many transposes of matrices: of the dimension
// that lies together before and the one that does after. A tile of a matrix is read along its rows and
// written along its columns through a buffer of its own: rows that lie a large power of two apart share a few
// places in the caches, from which they would drive each other away.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/turn.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;     // elements that are worth a thread
constexpr int64_t kRows = 64;           // of a tile
constexpr int64_t kTall = 512;          // rows of a part, which one thread turns
constexpr int64_t kLines = 8;           // lines of the cache that a row of a part has
constexpr int64_t kStreamed = 1 << 23;  // bytes from which on the result goes past the caches
constexpr int64_t kPlaces = 1 << 12;    // bytes after which places in the nearest cache are the same ones
constexpr int64_t kShare = 8;           // lines that share a place without driving each other away
constexpr int64_t kMaxRank = 64;

typedef uint8_t Bytes __attribute__((vector_size(16)));
typedef uint32_t FourWords __attribute__((vector_size(16)));
typedef uint64_t TwoLongs __attribute__((vector_size(16)));

// Elements of this many bytes, of whatever type.
struct alignas(8) Sixteen {
  uint64_t low, high;
};

// --- squares: to[j * to_stride + i] = from[i * stride + j] for `kSide` rows and columns ---

template <typename T>
constexpr int64_t kSide = sizeof(T) == 16  ? 1
                          : sizeof(T) == 8 ? 4
                                           : 8;

using kernels::turn_square;  // those of 32-bit and 64-bit elements

ANIMA_INLINE void turn_square(const uint16_t* from, int64_t stride, uint16_t* to, int64_t to_stride) {
  Halves rows[8];
  FourWords pairs[8];
  TwoLongs fours[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) std::memcpy(&rows[i], from + i * stride, sizeof rows[i]);
  for (int i = 0; i < 4; ++i) {
    const Halves &a = rows[2 * i], &b = rows[2 * i + 1];
    pairs[i] = reinterpret_cast<FourWords>(__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
    pairs[i + 4] = reinterpret_cast<FourWords>(__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
  }
  for (int i = 0; i < 8; i += 2) {  // the upper four rows and the lower, of two columns
    fours[i] = reinterpret_cast<TwoLongs>(__builtin_shufflevector(pairs[i], pairs[i + 1], 0, 4, 1, 5));
    fours[i + 1] = reinterpret_cast<TwoLongs>(__builtin_shufflevector(pairs[i], pairs[i + 1], 2, 6, 3, 7));
  }
  for (int j = 0; j < 4; ++j) {
    const TwoLongs &upper = fours[j / 2 * 4 + j % 2], &lower = fours[j / 2 * 4 + j % 2 + 2];
    const TwoLongs even = __builtin_shufflevector(upper, lower, 0, 2);
    const TwoLongs odd = __builtin_shufflevector(upper, lower, 1, 3);
    std::memcpy(to + 2 * j * to_stride, &even, sizeof even);
    std::memcpy(to + (2 * j + 1) * to_stride, &odd, sizeof odd);
  }
}

ANIMA_INLINE void turn_square(const uint8_t* from, int64_t stride, uint8_t* to, int64_t to_stride) {
  Bytes rows[8];
  Halves pairs[4];
  FourWords fours[4];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    uint64_t row;
    std::memcpy(&row, from + i * stride, sizeof row);
    rows[i] = reinterpret_cast<Bytes>(TwoLongs{row, 0});
  }
  for (int i = 0; i < 4; ++i) {
    pairs[i] = reinterpret_cast<Halves>(__builtin_shufflevector(rows[2 * i], rows[2 * i + 1], 0, 16, 1, 17, 2,
                                                                18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  }
  for (int i = 0; i < 2; ++i) {
    const Halves &a = pairs[2 * i], &b = pairs[2 * i + 1];
    fours[i] = reinterpret_cast<FourWords>(__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
    fours[i + 2] = reinterpret_cast<FourWords>(__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
  }
  for (int j = 0; j < 4; ++j) {
    const FourWords &upper = fours[j / 2 * 2], &lower = fours[j / 2 * 2 + 1];
    const auto both =
        reinterpret_cast<TwoLongs>(j % 2 == 0 ? __builtin_shufflevector(upper, lower, 0, 4, 1, 5)
                                              : __builtin_shufflevector(upper, lower, 2, 6, 3, 7));
    const uint64_t even = both[0], odd = both[1];
    std::memcpy(to + 2 * j * to_stride, &even, sizeof even);
    std::memcpy(to + (2 * j + 1) * to_stride, &odd, sizeof odd);
  }
}

ANIMA_INLINE void turn_square(const Sixteen* from, int64_t, Sixteen* to, int64_t) { *to = *from; }

// --- matrices: y[j * to_stride + i] = x[i * from_stride + j] ---

struct Matrix {
  int64_t rows, columns, from_stride, to_stride;
};

// Whole lines of the cache, past it.
ANIMA_INLINE void stream(void* to, const void* from, int64_t bytes) {
#if defined(__SSE2__)
  for (int64_t i = 0; i < bytes; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(static_cast<char*>(to) + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const char*>(from) + i)));
  }
#else
  std::memcpy(to, from, bytes);
#endif
}

// A tile, of `rows` and `columns`.
template <typename T>
ANIMA_INLINE void turn_tile(const T* from, int64_t stride, T* to, int64_t to_stride, int64_t rows,
                            int64_t columns) {
  constexpr int64_t kSquare = kSide<T>;
  const int64_t square_rows = rows / kSquare * kSquare, square_columns = columns / kSquare * kSquare;
  for (int64_t i = 0; i < square_rows; i += kSquare) {
    for (int64_t j = 0; j < square_columns; j += kSquare) {
      turn_square(from + i * stride + j, stride, to + j * to_stride + i, to_stride);
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = i < square_rows ? square_columns : 0; j < columns; ++j)
      to[j * to_stride + i] = from[i * stride + j];
  }
}

template <typename T>
ANIMA_CLONES void turn_tiles(const T* x, T* y, const Matrix& m, bool streamed) {
  constexpr int64_t kColumns = 64 / sizeof(T);
  // A buffer costs a third, but rows of the result that share their places in the nearest cache need it.
  const int64_t places = kPlaces / std::gcd(m.to_stride * static_cast<int64_t>(sizeof(T)), kPlaces);
  const bool direct = !streamed && std::min(m.columns, kColumns) <= kShare * places;
  alignas(64) T tile[kColumns * kRows];
  for (int64_t row = 0; row < m.rows; row += kRows) {
    const int64_t rows = std::min(kRows, m.rows - row);
    for (int64_t column = 0; column < m.columns; column += kColumns) {
      const int64_t columns = std::min(kColumns, m.columns - column);
      const T* from = x + row * m.from_stride + column;
      T* to = y + column * m.to_stride + row;
      if (direct) {
        turn_tile(from, m.from_stride, to, m.to_stride, rows, columns);
        continue;
      }
      turn_tile(from, m.from_stride, tile, kRows, rows, columns);
      for (int64_t j = 0; j < columns; ++j, to += m.to_stride) {
        if (streamed && rows == kRows) {
          stream(to, tile + j * kRows, kRows * sizeof(T));
        } else if (rows == kRows) {
          std::memcpy(to, tile + j * kRows, kRows * sizeof(T));
        } else {
          std::memcpy(to, tile + j * kRows, rows * sizeof(T));
        }
      }
    }
  }
}

// Of a few columns that lie together: these loops vectorise.
template <typename T, int kColumns>
ANIMA_CLONES void split_columns(const T* x, T* y, const Matrix& m) {
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < kColumns; ++j) y[j * m.to_stride + i] = x[i * kColumns + j];
  }
}

template <typename T, int kRowCount>
ANIMA_CLONES void join_rows(const T* x, T* y, const Matrix& m) {
  ANIMA_INDEPENDENT
  for (int64_t j = 0; j < m.columns; ++j) {
    for (int64_t i = 0; i < kRowCount; ++i) y[j * kRowCount + i] = x[i * m.from_stride + j];
  }
}

template <typename T>
void turn_matrix(const T* x, T* y, const Matrix& m, bool streamed) {
  if (m.from_stride == m.columns) {
    if (m.columns == 2) return split_columns<T, 2>(x, y, m);
    if (m.columns == 3) return split_columns<T, 3>(x, y, m);
    if (m.columns == 4) return split_columns<T, 4>(x, y, m);
  }
  if (m.to_stride == m.rows) {
    if (m.rows == 2) return join_rows<T, 2>(x, y, m);
    if (m.rows == 3) return join_rows<T, 3>(x, y, m);
    if (m.rows == 4) return join_rows<T, 4>(x, y, m);
  }
  turn_tiles(x, y, m, streamed);
}

// --- arrays ---

// Dimensions in the order of the result, with how far apart their elements lie in both arrays.
struct Dimension {
  int64_t size, from, to;
};

struct Plan {
  std::vector<Dimension> dims;
  int64_t element;  // bytes

  // Where the elements of the n-th index of the first `count` dimensions begin.
  std::pair<int64_t, int64_t> start_of(int64_t n, size_t count) const {
    int64_t from = 0, to = 0;
    for (size_t d = count; d-- > 0;) {
      const int64_t i = n % dims[d].size;
      n /= dims[d].size;
      from += i * dims[d].from;
      to += i * dims[d].to;
    }
    return {from, to};
  }
};

Plan plan_of(const ffi::Buffer& x, const std::vector<int64_t>& permutation, int64_t bytes) {
  std::vector<int64_t> strides(x.rank);
  int64_t stride = 1;
  for (int64_t d = x.rank; d-- > 0;) {
    strides[d] = stride;
    stride *= x.dims[d];
  }
  Plan plan{{}, bytes};
  for (int64_t p : permutation) {
    if (x.dims[p] == 1) continue;
    const Dimension next{x.dims[p], strides[p], 0};
    if (!plan.dims.empty() && plan.dims.back().from == next.size * next.from) {
      plan.dims.back() = {plan.dims.back().size * next.size, next.from, 0};
    } else {
      plan.dims.push_back(next);
    }
  }
  stride = 1;
  for (size_t d = plan.dims.size(); d-- > 0;) {
    plan.dims[d].to = stride;
    stride *= plan.dims[d].size;
  }
  // A short block that moves as a whole is an element.
  if (plan.dims.size() > 1 && plan.dims.back().from == 1) {
    const int64_t count = plan.dims.back().size, block = count * bytes;
    if (block == 2 || block == 4 || block == 8 || block == 16) {
      plan.dims.pop_back();
      for (Dimension& dim : plan.dims) dim.from /= count, dim.to /= count;
      plan.element = block;
    }
  }
  return plan;
}

void copy_blocks(const Call& call, const Plan& plan) {
  const auto* x = static_cast<const char*>(call.operand(0).data);
  auto* y = static_cast<char*>(call.result(0).data);
  const size_t outer = plan.dims.size() - 1;
  const int64_t block = plan.dims.back().size * plan.element,
                count = plan.dims.size() > 1 ? plan.dims[outer - 1].size : 1;
  int64_t rows = 1;
  for (size_t d = 0; d < outer; ++d) rows *= plan.dims[d].size;
  const int64_t step = outer > 0 ? plan.dims[outer - 1].from * plan.element : 0;
  parallel_for(call.frame(), rows / count, kGrain / (count * plan.dims.back().size) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t n = begin; n < end; ++n) {
                   const auto [from, to] = plan.start_of(n, outer > 0 ? outer - 1 : 0);
                   for (int64_t i = 0; i < count; ++i) {
                     std::memcpy(y + to * plan.element + i * block, x + from * plan.element + i * step,
                                 block);
                   }
                 }
               });
}

template <typename T>
void turn_elements(const Call& call, Plan plan) {
  const auto* x = static_cast<const T*>(call.operand(0).data);
  auto* y = static_cast<T*>(call.result(0).data);
  // The dimension that lies together before goes beside the one that does after.
  for (size_t d = 0; d + 2 < plan.dims.size(); ++d) {
    if (plan.dims[d].from == 1)
      std::rotate(plan.dims.begin() + d, plan.dims.begin() + d + 1, plan.dims.end() - 1);
  }
  const size_t outer = plan.dims.size() - 2;
  const Dimension columns = plan.dims[outer], rows = plan.dims[outer + 1];
  int64_t matrices = 1;
  for (size_t d = 0; d < outer; ++d) matrices *= plan.dims[d].size;
  const int64_t width = kLines * 64 / static_cast<int64_t>(sizeof(T));
  const int64_t across = (columns.size + width - 1) / width, down = (rows.size + kTall - 1) / kTall;
  const bool streamed = matrices * rows.size * columns.size * sizeof(T) >= kStreamed &&
                        columns.to * sizeof(T) % 64 == 0 && reinterpret_cast<uintptr_t>(y) % 64 == 0;
  const int64_t cost = std::min(rows.size, kTall) * std::min(columns.size, width);
  parallel_for(call.frame(), matrices * across * down, kGrain / cost + 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const auto [from, to] = plan.start_of(n / (across * down), outer);
      const int64_t column = n / down % across * width, row = n % down * kTall;
      const Matrix part{std::min(kTall, rows.size - row), std::min(width, columns.size - column), rows.from,
                        columns.to};
      turn_matrix(x + from + row * rows.from + column, y + to + column * columns.to + row, part, streamed);
    }
#if defined(__SSE2__)
    if (streamed) _mm_sfence();
#endif
  });
}

// Attributes `from0`, `from1`, ...: for each dimension of the result, that of the operand.
void transpose(const Call& call) {
  call.expect(1, 1);
  const ffi::Buffer &x = call.operand(0), &y = call.result(0);
  const int64_t bytes = bytes_of(x.type);
  if (x.type != y.type || x.rank != y.rank) {
    throw KernelError("a transpose was called for a result of another rank or element type");
  }
  if (x.rank > kMaxRank) throw KernelError("a transpose was called for an array of too many dimensions");
  std::vector<int64_t> permutation(x.rank);
  std::vector<bool> taken(x.rank, false);
  for (int64_t i = 0; i < x.rank; ++i) {
    const int64_t p = call.integer(("from" + std::to_string(i)).c_str());
    if (p < 0 || p >= x.rank || taken[p]) throw KernelError("a transpose was called without a permutation");
    if (y.dims[i] != x.dims[p]) throw KernelError("a transpose was called with other sizes");
    taken[p] = true;
    permutation[i] = p;
  }
  if (size_of(x) == 0) return;
  const Plan plan = plan_of(x, permutation, bytes);
  if (plan.dims.empty() || plan.dims.back().from == 1) {
    if (plan.dims.empty()) std::memcpy(y.data, x.data, plan.element);
    if (!plan.dims.empty()) copy_blocks(call, plan);
    return;
  }
  switch (plan.element) {
    case 1:
      return turn_elements<uint8_t>(call, plan);
    case 2:
      return turn_elements<uint16_t>(call, plan);
    case 4:
      return turn_elements<uint32_t>(call, plan);
    case 8:
      return turn_elements<uint64_t>(call, plan);
    default:
      return turn_elements<Sixteen>(call, plan);
  }
}

}  // namespace

extern const Kernel kTransposeKernels[] = {kernel<transpose>("anima_transpose"), {nullptr, nullptr}};

}  // namespace anima::kernels
