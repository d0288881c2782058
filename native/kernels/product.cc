// Products of matrices of bfloat16 numbers, on processors that multiply pairs of these.
//
// An instruction adds to each of 16 sums two products of neighbours along the dimension that is summed over.
// So columns of the right matrix are packed in panels: a word holds two rows' numbers of one column. Of the
// left matrix a word is given to all sums of a row. A tile of 12 rows and 32 columns of the result keeps all
// its sums in registers. Sums are of float32; long ones are sums of sums, which are more exact.
#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels/features.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#if !defined(__clang__)
// GCC's own header leaves variables uninitialised on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#define ANIMA_PAIRS __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define ANIMA_PAIRS_INLINE \
  inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#endif

namespace anima::kernels {
namespace {

struct Problem {
  const uint16_t *left, *right;
  void* out;
  int64_t batch, rows, columns, depth;
  bool left_turned, right_turned;  // [depth, rows], and [columns, depth]
  bool wide;                       // the result is of float32
};

#ifdef ANIMA_PAIRS

constexpr int kRows = 12, kLanes = 16, kPanel = 2 * kLanes;
constexpr int64_t kPacked = 1 << 16;  // words that are packed at a time, unless the matrices are very deep
constexpr int64_t kLongest = 256;     // pairs that are summed one after the other
constexpr int64_t kWork = 1 << 18;    // products that are worth a thread

// Of the left matrix: the word of row i and pair p is `step` times p and `stride` times i bytes from the
// start.
struct Left {
  const char* start;
  int64_t stride, step;
};

// Where a tile goes: masks of columns, and rows `stride` elements apart.
struct Tile {
  void* out;
  int64_t stride;
  __mmask16 masks[2];
  bool wide;
};

ANIMA_PAIRS_INLINE __m512bh words(__m512i x) { return reinterpret_cast<__m512bh>(x); }

template <int kTileRows, int kVectors>
ANIMA_PAIRS_INLINE void store_tile(const __m512 (&sums)[kTileRows][kVectors], const Tile& tile) {
  if (kVectors == 2 && !tile.wide && tile.masks[1] == 0xffff) {
    for (int i = 0; i < kTileRows; ++i) {
      const __m512bh row = _mm512_cvtne2ps_pbh(sums[i][kVectors - 1], sums[i][0]);
      _mm512_storeu_si512(static_cast<uint16_t*>(tile.out) + i * tile.stride, reinterpret_cast<__m512i>(row));
    }
    return;
  }
  for (int i = 0; i < kTileRows; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = i * tile.stride + v * kLanes;
      if (tile.wide) {
        _mm512_mask_storeu_ps(static_cast<float*>(tile.out) + at, tile.masks[v], sums[i][v]);
      } else {
        const __m256i halves = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums[i][v]));
        _mm256_mask_storeu_epi16(static_cast<uint16_t*>(tile.out) + at, tile.masks[v], halves);
      }
    }
  }
}

// Adds the products of a range of pairs, and moves `bases` on: one for every third row, since the two after
// it are addressed from there.
template <int kTileRows, int kVectors>
ANIMA_PAIRS_INLINE void add_products(const char* (&bases)[(kTileRows + 2) / 3], const Left& left,
                                     const uint32_t* panel, int64_t pairs,
                                     __m512 (&sums)[kTileRows][kVectors]) {
  for (int64_t p = 0; p < pairs; ++p, panel += kPanel) {
    __m512bh right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = words(_mm512_load_si512(panel + v * kLanes));
    for (int i = 0; i < kTileRows; ++i) {
      int32_t word;
      std::memcpy(&word, bases[i / 3] + (i % 3) * left.stride, sizeof word);
      const __m512bh both = words(_mm512_set1_epi32(word));
      for (int v = 0; v < kVectors; ++v) sums[i][v] = _mm512_dpbf16_ps(sums[i][v], both, right[v]);
    }
    for (const char*& base : bases) base += left.step;
  }
}

// A tile of the result from rows of the left matrix and a packed panel of the right.
template <int kTileRows, int kVectors>
ANIMA_PAIRS void multiply_tile(const Left& left, const uint32_t* panel, int64_t pairs, const Tile& tile) {
  const char* bases[(kTileRows + 2) / 3];
  for (int i = 0; i < kTileRows; i += 3) bases[i / 3] = left.start + i * left.stride;
  __m512 sums[kTileRows][kVectors] = {};
  if (pairs <= kLongest) {
    add_products<kTileRows, kVectors>(bases, left, panel, pairs, sums);
    return store_tile<kTileRows, kVectors>(sums, tile);
  }
  alignas(64) float totals[kTileRows][kVectors][kLanes] = {};
  for (int64_t begin = 0; begin < pairs; begin += kLongest) {
    __m512 part[kTileRows][kVectors] = {};
    add_products<kTileRows, kVectors>(bases, left, panel + begin * kPanel, std::min(kLongest, pairs - begin),
                                      part);
    for (int i = 0; i < kTileRows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] = _mm512_add_ps(_mm512_load_ps(totals[i][v]), part[i][v]);
        _mm512_store_ps(totals[i][v], sums[i][v]);
      }
    }
  }
  store_tile<kTileRows, kVectors>(sums, tile);
}

using Multiply = void (*)(const Left&, const uint32_t*, int64_t, const Tile&);

template <int kVectors>
Multiply multiply_for(int64_t rows) {
  static constexpr Multiply kBySize[] = {
      multiply_tile<1, kVectors>,  multiply_tile<2, kVectors>,  multiply_tile<3, kVectors>,
      multiply_tile<4, kVectors>,  multiply_tile<5, kVectors>,  multiply_tile<6, kVectors>,
      multiply_tile<7, kVectors>,  multiply_tile<8, kVectors>,  multiply_tile<9, kVectors>,
      multiply_tile<10, kVectors>, multiply_tile<11, kVectors>, multiply_tile<12, kVectors>};
  return kBySize[rows - 1];
}

// Groups of `kWidth` columns become panels: the words of from[2 p][j] and from[2 p + 1][j] go to row p of the
// panel of column j, and zeros to the columns that the last panel lacks.
template <int kWidth>
ANIMA_PAIRS void pair_rows(const uint16_t* from, int64_t stride, int64_t depth, int64_t count, uint32_t* to) {
  static_assert(kWidth == kLanes || kWidth == kPanel, "a panel is one vector or two");
  alignas(64) uint16_t order[2][32];
  for (int i = 0; i < 32; ++i) {
    order[0][i] = static_cast<uint16_t>(i / 2 + i % 2 * 32);
    order[1][i] = static_cast<uint16_t>(16 + i / 2 + i % 2 * 32);
  }
  const __m512i first = _mm512_load_si512(order[0]), second = _mm512_load_si512(order[1]);
  const int64_t pairs = (depth + 1) / 2;
  for (int64_t p = 0; p < pairs; ++p, from += 2 * stride) {
    const bool whole = 2 * p + 1 < depth;
    for (int64_t j = 0; j < count; j += kWidth) {
      const int64_t columns = std::min<int64_t>(count - j, kWidth);
      const __mmask32 mask = columns == 32 ? ~__mmask32{0} : (__mmask32{1} << columns) - 1;
      const __m512i a = _mm512_maskz_loadu_epi16(mask, from + j);
      const __m512i b = _mm512_maskz_loadu_epi16(whole ? mask : 0, from + j + stride);
      uint32_t* place = to + j * pairs + p * kWidth;
      _mm512_store_si512(place, _mm512_permutex2var_epi16(a, first, b));
      if (kWidth == kPanel) _mm512_store_si512(place + kLanes, _mm512_permutex2var_epi16(a, second, b));
    }
  }
}

// Rows i and i + kApart of a matrix of 16 words squared trade the words whose columns have that bit for those
// that have not.
template <int kApart>
ANIMA_PAIRS_INLINE void trade(__m512i (&rows)[16]) {
  alignas(64) int32_t first[16], second[16];
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) {
    first[j] = j & kApart ? 16 + (j ^ kApart) : j;
    second[j] = j & kApart ? 16 + j : j ^ kApart;
  }
  const __m512i low = _mm512_load_si512(first), high = _mm512_load_si512(second);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if (i & kApart) continue;
    const __m512i a = rows[i], b = rows[i + kApart];
    rows[i] = _mm512_permutex2var_epi32(a, low, b);
    rows[i + kApart] = _mm512_permutex2var_epi32(a, high, b);
  }
}

// to[p * width + j] = the word of from[j][2 p] and from[j][2 p + 1], for `count` <= 16 values of j; others
// are 0.
ANIMA_PAIRS void turn_rows(const uint16_t* from, int64_t stride, int64_t depth, int64_t count, uint32_t* to,
                           int64_t width) {
  for (int64_t k = 0; k < depth; k += 2 * kLanes) {
    const int64_t left = std::min<int64_t>(depth - k, 2 * kLanes);
    const __mmask32 mask = left == 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
    __m512i rows[16];
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      rows[j] = j < count ? _mm512_maskz_loadu_epi16(mask, from + j * stride + k) : _mm512_setzero_si512();
    }
    trade<1>(rows);
    trade<2>(rows);
    trade<4>(rows);
    trade<8>(rows);
    for (int64_t p = 0; p < (left + 1) / 2; ++p) _mm512_store_si512(to + (k / 2 + p) * width, rows[p]);
  }
}

struct Freed {
  void operator()(void* p) const { ::operator delete(p, std::align_val_t{64}); }
};
using Words = std::unique_ptr<uint32_t[], Freed>;

Words new_words(int64_t count) {
  return Words(static_cast<uint32_t*>(::operator new(std::max<int64_t>(count, 1) * 4, std::align_val_t{64})));
}

// Multiplies parts of the result, each a range of rows and a group of panels.
class Worker {
 public:
  Worker(const Problem& problem, int64_t width)
      : problem_(problem),
        pairs_((problem.depth + 1) / 2),
        width_(width),
        right_(new_words(pairs_ * width)),
        left_(packs_left() ? new_words(pairs_ * kLanes) : nullptr) {}

  void multiply(int64_t matrix, int64_t group, int64_t first, int64_t last) {
    const int64_t start = group * width_, end = std::min(problem_.columns, start + width_);
    if (matrix != matrix_ || group != group_) pack(matrix, start, end);
    matrix_ = matrix, group_ = group;
    for (int64_t row = first; row < last; row += kRows) {
      const int64_t rows = std::min<int64_t>(kRows, last - row);
      const Left left = left_rows(matrix, row, rows);
      for (int64_t column = start; column < end; column += kPanel) {
        const int64_t columns = std::min<int64_t>(kPanel, end - column);
        const Tile tile = tile_at((matrix * problem_.rows + row) * problem_.columns + column, columns);
        const auto multiply = columns > kLanes ? multiply_for<2>(rows) : multiply_for<1>(rows);
        multiply(left, right_.get() + (column - start) * pairs_, pairs_, tile);
      }
    }
  }

 private:
  bool packs_left() const {
    // Rows a large power of two apart share a few places in the caches.
    return problem_.left_turned || problem_.depth % 2 != 0 || problem_.depth % 2048 == 0;
  }

  void pack(int64_t matrix, int64_t start, int64_t end) {
    const uint16_t* right = problem_.right + matrix * problem_.depth * problem_.columns;
    if (!problem_.right_turned) {
      return pair_rows<kPanel>(right + start, problem_.columns, problem_.depth, end - start, right_.get());
    }
    for (int64_t column = start; column < end; column += kLanes) {
      uint32_t* to = right_.get() + (column - start) / kPanel * kPanel * pairs_ + (column - start) % kPanel;
      const int64_t count = std::min<int64_t>(kLanes, end - column);
      turn_rows(right + column * problem_.depth, problem_.depth, problem_.depth, count, to, kPanel);
    }
  }

  Left left_rows(int64_t matrix, int64_t row, int64_t rows) {
    const uint16_t* left = problem_.left + matrix * problem_.rows * problem_.depth;
    const int64_t depth = problem_.depth;
    if (!left_) return {reinterpret_cast<const char*>(left + row * depth), depth * 2, 4};
    if (problem_.left_turned) {
      pair_rows<kLanes>(left + row, problem_.rows, depth, rows, left_.get());
    } else {
      turn_rows(left + row * depth, depth, depth, rows, left_.get(), kLanes);
    }
    return {reinterpret_cast<const char*>(left_.get()), 4, kLanes * 4};
  }

  Tile tile_at(int64_t place, int64_t columns) const {
    const auto mask = [](int64_t n) {
      return static_cast<__mmask16>((1u << std::clamp<int64_t>(n, 0, 16)) - 1);
    };
    return {static_cast<char*>(problem_.out) + place * (problem_.wide ? 4 : 2),
            problem_.columns,
            {mask(columns), mask(columns - kLanes)},
            problem_.wide};
  }

  const Problem problem_;
  const int64_t pairs_, width_;
  int64_t matrix_ = -1, group_ = -1;
  Words right_, left_;
};

void multiply(const Call& call, const Problem& problem) {
  const int64_t pairs = (problem.depth + 1) / 2, panels = (problem.columns + kPanel - 1) / kPanel;
  const int64_t wanted = 4 * threads_of(call.frame());
  // As many panels as are packed at a time, or as leave enough groups for the threads; rows that are packed
  // again for each group want few.
  int64_t group = std::clamp<int64_t>(kPacked / (pairs * kPanel + 1), 4, 16);
  if (!problem.left_turned) group = std::min(group, (panels * problem.batch + wanted - 1) / wanted);
  group = std::min(group, panels);
  const int64_t groups = (panels + group - 1) / group, parts = problem.batch * groups;
  // Ranges of rows where the threads lack parts; each packs its part of the right matrix again.
  const int64_t tiles = (problem.rows + kRows - 1) / kRows;
  const int64_t cuts = (wanted + parts - 1) / parts;
  const int64_t height = std::max<int64_t>((tiles + cuts - 1) / cuts, std::min<int64_t>(tiles, 4));
  const int64_t ranges = (tiles + height - 1) / height;
  const int64_t cost = height * kRows * group * kPanel * problem.depth;
  parallel_for(call.frame(), parts * ranges, kWork / (cost + 1) + 1, [&](int64_t begin, int64_t end) {
    Worker worker(problem, group * kPanel);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i / ranges, first = i % ranges * height * kRows;
      worker.multiply(part / groups, part % groups, first, std::min(problem.rows, first + height * kRows));
    }
  });
}

#else

void multiply(const Call&, const Problem&) {}

#endif

// Operands: [batch, rows, depth] and [batch, depth, columns], or with their last two dimensions turned.
// Result: [batch, rows, columns].
void product(const Call& call) {
  call.expect(2, 1);
  const ffi::Buffer &x = call.operand(0), &y = call.operand(1), &z = call.result(0);
  if (!has_bfloat16_products())
    throw KernelError("the processor has no products of pairs of bfloat16 numbers");
  Problem problem = {};
  if (x.rank != 3 || y.rank != 3 || z.rank != 3) throw KernelError("a product takes stacks of matrices");
  if (x.type != ffi::DataType::kBF16 || y.type != ffi::DataType::kBF16) {
    throw KernelError("a product was called with another element type than bfloat16");
  }
  problem.wide = z.type == ffi::DataType::kF32;
  if (!problem.wide && z.type != ffi::DataType::kBF16) {
    throw KernelError("a product was called for another element type than bfloat16 or float32");
  }
  problem.left_turned = call.flag("left_turned");
  problem.right_turned = call.flag("right_turned");
  problem.batch = z.dims[0], problem.rows = z.dims[1], problem.columns = z.dims[2];
  problem.depth = x.dims[problem.left_turned ? 1 : 2];
  const bool fits = x.dims[0] == problem.batch && y.dims[0] == problem.batch &&
                    x.dims[problem.left_turned ? 2 : 1] == problem.rows &&
                    y.dims[problem.right_turned ? 2 : 1] == problem.depth &&
                    y.dims[problem.right_turned ? 1 : 2] == problem.columns;
  if (!fits) throw KernelError("a product was called with matrices that do not fit");
  if (size_of(z) == 0) return;
  problem.left = static_cast<const uint16_t*>(x.data);
  problem.right = static_cast<const uint16_t*>(y.data);
  problem.out = z.data;
  multiply(call, problem);
}

}  // namespace

extern const Kernel kProductKernels[] = {kernel<product>("anima_product"), {nullptr, nullptr}};

}  // namespace anima::kernels
