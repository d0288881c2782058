// Small products of matrices, for processors with registers of 64 bytes and for others.
//
// The result stands in registers: 6 rows of 4 vectors use 24 of 32 registers, and 10 loads come with 24
// steps.
#include "kernels/multiply.h"

#include "kernels/clones.h"

namespace anima::kernels {
namespace {

template <typename T, int kBytes>
struct Lanes {
  typedef T V __attribute__((vector_size(kBytes)));
  static constexpr int kSize = kBytes / sizeof(T);
};

template <typename T, int kBytes, int kRows, int kVectors>
ANIMA_INLINE void multiply_one(const Product<T>& p, int64_t a_skip, int64_t row_skip) {
  using V = typename Lanes<T, kBytes>::V;
  constexpr int kSize = Lanes<T, kBytes>::kSize;
  T* rows[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    rows[i] = p.rows[i] + row_skip;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(rows[i] + v * kSize, 1, 3);
  }
  V sums[kRows][kVectors] = {};
  for (int64_t s = 0; s < p.count; ++s) {
    const Segment<T>& segment = p.segments[s];
    const T* a[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) a[i] = segment.a[i] + a_skip;
    const T* b = segment.b;
    const int64_t end = segment.count * p.a_step;
    for (int64_t k = 0; k < end; k += p.a_step, b += p.b_step) {
      V right[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) std::memcpy(&right[v], b + v * kSize, sizeof(V));
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const T left = a[i][k];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sums[i][v] += left * right[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    if (p.width >= kVectors * kSize) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        V before = {};
        if (p.adds) std::memcpy(&before, rows[i] + v * kSize, sizeof(V));
        sums[i][v] += before;
        std::memcpy(rows[i] + v * kSize, &sums[i][v], sizeof(V));
      }
      continue;
    }
    T row[kVectors * kSize];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) std::memcpy(row + v * kSize, &sums[i][v], sizeof(V));
    for (int64_t j = 0; j < p.width; ++j) rows[i][j] = p.adds ? rows[i][j] + row[j] : row[j];
  }
}

template <typename T, int kBytes, int kRows, int kVectors>
ANIMA_INLINE void multiply(const Product<T>& p) {
  for (int64_t i = 0; i < p.repeats; ++i)
    multiply_one<T, kBytes, kRows, kVectors>(p, i * p.a_skip, i * p.row_skip);
}

// Few columns would leave most of a vector unused: vectors are of terms here.
template <typename T, int kBytes, int kColumns>
ANIMA_INLINE void dots(const Product<T>& p) {
  using V = typename Lanes<T, kBytes>::V;
  constexpr int kSize = Lanes<T, kBytes>::kSize;
  V sums[kDotRows][kColumns] = {};
  T rest[kDotRows][kColumns] = {};
  for (int64_t s = 0; s < p.count; ++s) {
    const Segment<T>& segment = p.segments[s];
    int64_t k = 0;
    for (; k + kSize <= segment.count; k += kSize) {
      V right[kColumns];
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) std::memcpy(&right[j], segment.b + j * p.b_step + k, sizeof(V));
#pragma GCC unroll 8
      for (int i = 0; i < kDotRows; ++i) {
        V left;
        std::memcpy(&left, segment.a[i] + k, sizeof(V));
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; ++j) sums[i][j] += left * right[j];
      }
    }
    for (; k < segment.count; ++k) {
      for (int i = 0; i < kDotRows; ++i) {
        for (int j = 0; j < kColumns; ++j) rest[i][j] += segment.a[i][k] * segment.b[j * p.b_step + k];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kDotRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      T lanes[kSize];
      std::memcpy(lanes, &sums[i][j], sizeof lanes);
      for (int step = kSize / 2; step > 0; step /= 2) {
        for (int l = 0; l < step; ++l) lanes[l] += lanes[l + step];
      }
      p.rows[i][j] = lanes[0] + rest[i][j];
    }
  }
}

// --- the tables --------------------------------------------------------------------------------

struct Narrow {
  static constexpr int kBytes = 32;
  static constexpr int rows(int) { return 6; }
  template <auto kBody, typename Arguments>
  ANIMA_CLONES static void run(const Arguments& arguments) {
    kBody(arguments);
  }
};

#ifdef ANIMA_HAS_WIDE
struct Wide {
  static constexpr int kBytes = 64;
  static constexpr int rows(int vectors) { return vectors == 4 ? 6 : 8; }
  template <auto kBody, typename Arguments>
  ANIMA_WIDE static void run(const Arguments& arguments) {
    kBody(arguments);
  }
};
#endif

template <typename How, typename T, int kRows, int kVectors>
constexpr Multiply<T> with_rows() {
  if constexpr (kRows > How::rows(kVectors)) {
    return nullptr;
  } else {
    return &How::template run<&multiply<T, How::kBytes, kRows, kVectors>, Product<T>>;
  }
}

template <typename How, typename T, int kVectors>
constexpr typename Multipliers<T>::Width kWidth = {
    kVectors * Lanes<T, How::kBytes>::kSize,
    How::rows(kVectors),
    {nullptr, with_rows<How, T, 1, kVectors>(), with_rows<How, T, 2, kVectors>(),
     with_rows<How, T, 3, kVectors>(), with_rows<How, T, 4, kVectors>(), with_rows<How, T, 5, kVectors>(),
     with_rows<How, T, 6, kVectors>(), with_rows<How, T, 7, kVectors>(), with_rows<How, T, 8, kVectors>()}};

template <typename How, typename T, int kColumns>
constexpr Multiply<T> kDots = &How::template run<&dots<T, How::kBytes, kColumns>, Product<T>>;

// Widths of 1, 2 and `kVectors` vectors.
template <typename How, typename T, int... kVectors>
constexpr Multipliers<T> kOnes = {
    {kWidth<How, T, 1>, kWidth<How, T, 2>, kWidth<How, T, kVectors>...},
    {nullptr, kDots<How, T, 1>, kDots<How, T, 2>, kDots<How, T, 3>, kDots<How, T, 4>}};

}  // namespace

template <typename T>
const Multipliers<T>& multipliers() {
#ifdef ANIMA_HAS_WIDE
  if (has_wide()) return kOnes<Wide, T, 4>;
#endif
  return kOnes<Narrow, T>;
}
template const Multipliers<float>& multipliers<float>();
template const Multipliers<double>& multipliers<double>();

}  // namespace anima::kernels
