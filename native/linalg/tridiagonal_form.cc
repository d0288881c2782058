// Each reflector changes the matrix by a v w^T + w v^T, and the next one needs the product of the changed
// matrix with a vector: both are done in one walk over the matrix, on one triangle of it. A change is put off
// until then; only the row that the next reflector is made of gets it before.
#include "linalg/tridiagonal_form.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/clones.h"
#include "linalg/reflectors.h"

namespace anima::linalg {
namespace {

constexpr int kRows = 4;  // of a block

// Of rows [first, n), which are whole blocks. Vectors have zeros behind their ends, for whole registers.
template <typename T>
struct Walk {
  T* a;
  int64_t stride;
  int first, n;
  const T *v, *w;  // a -= v w^T + w v^T
  const T* x;
  T* y;  // += a x
};

template <typename T>
struct BlockOf {
  typedef T V __attribute__((vector_size(kRows * sizeof(T))));
};

// The sums of each of four vectors, as one.
template <typename T, int kBytes, typename V>
ANIMA_INLINE void add_totals(const V* x, typename BlockOf<T>::V& to) {
  using Few = typename BlockOf<T>::V;
  if constexpr (kBytes == sizeof(Few)) {
    const Few a = __builtin_shufflevector(x[0], x[1], 0, 4, 2, 6);
    const Few b = __builtin_shufflevector(x[0], x[1], 1, 5, 3, 7);
    const Few c = __builtin_shufflevector(x[2], x[3], 0, 4, 2, 6);
    const Few d = __builtin_shufflevector(x[2], x[3], 1, 5, 3, 7);
    const Few e = a + b, f = c + d;
    to += __builtin_shufflevector(e, f, 0, 1, 4, 5) + __builtin_shufflevector(e, f, 2, 3, 6, 7);
  } else {
    typedef T Half __attribute__((vector_size(kBytes / 2)));
    Half sums[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      Half halves[2];
      std::memcpy(halves, &x[i], sizeof halves);
      sums[i] = halves[0] + halves[1];
    }
    add_totals<T, kBytes / 2>(sums, to);
  }
}

// A block of rows, and the elements of v, w and x for each, in local variables: compilers could not know that
// they stay when others are written.
template <typename T>
struct WalkRows {
  T* rows[kRows];
  T v[kRows], w[kRows], x[kRows];
};

// Row i of a block from column j on, less the products with v and w of these columns.
template <typename T, typename V>
ANIMA_INLINE void change_row(const WalkRows<T>& block, int i, int j, const V& v, const V& w, V& changed) {
  std::memcpy(&changed, block.rows[i] + j, sizeof changed);
  changed -= block.v[i] * w;
  changed -= block.w[i] * v;
  std::memcpy(block.rows[i] + j, &changed, sizeof changed);
}

// Columns [j, j + lanes) of a block; where `keep` has zeros, nothing changes.
template <bool kSome, typename T, typename V>
ANIMA_INLINE void walk_columns(const Walk<T>& p, const WalkRows<T>& block, int j, const V& keep, V* sums) {
  V v, w, x, y;
  std::memcpy(&v, p.v + j, sizeof v);
  std::memcpy(&w, p.w + j, sizeof w);
  std::memcpy(&x, p.x + j, sizeof x);
  std::memcpy(&y, p.y + j, sizeof y);
  if (kSome) v *= keep, w *= keep, x *= keep;
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    V changed;
    change_row(block, i, j, v, w, changed);
    sums[i] += changed * x;
    if (kSome) changed *= keep;
    y += changed * block.x[i];
  }
  std::memcpy(p.y + j, &y, sizeof y);
}

template <typename T, int kBytes>
ANIMA_INLINE void walk(const Walk<T>& all) {
  typedef T V __attribute__((vector_size(kBytes)));
  using Few = typename BlockOf<T>::V;
  constexpr int kLanes = kBytes / sizeof(T);
  const Walk<T> p = all;
  T ones[2 * kLanes] = {};
  for (int i = kLanes; i < 2 * kLanes; ++i) ones[i] = 1;
  for (int first = p.first; first < p.n; first += kRows) {
    WalkRows<T> block;
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      block.rows[i] = p.a + (first + i) * p.stride;
      block.v[i] = p.v[first + i], block.w[i] = p.w[first + i], block.x[i] = p.x[first + i];
    }
    V sums[kRows] = {}, keep = {};
    // Vectors begin at whole lines of the cache.
    int j = first + kRows;
    if (const int skipped = j % kLanes; skipped != 0) {
      j -= skipped;
      std::memcpy(&keep, ones + kLanes - skipped, sizeof keep);
      if (j + skipped < p.n) walk_columns<true>(p, block, j, keep, sums);
      j += kLanes;
    }
    for (; j < p.n; j += kLanes) walk_columns<false>(p, block, j, keep, sums);
    // The square on the diagonal, which is stored whole; last, for what was written as a part of a vector
    // would have to reach memory before all of it is read.
    Few v, w, y;
    std::memcpy(&v, p.v + first, sizeof v);
    std::memcpy(&w, p.w + first, sizeof w);
    std::memcpy(&y, p.y + first, sizeof y);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      Few changed;
      change_row(block, i, first, v, w, changed);
      y += changed * block.x[i];
    }
    add_totals<T, kBytes>(sums, y);
    std::memcpy(p.y + first, &y, sizeof y);
  }
}

template <typename T>
ANIMA_CLONES void walk_narrow(const Walk<T>& p) {
  walk<T, 32>(p);
}

#ifdef ANIMA_HAS_WIDE
template <typename T>
ANIMA_WIDE void walk_wide(const Walk<T>& p) {
  walk<T, 64>(p);
}
#endif

template <typename T>
void walk_best(const Walk<T>& p) {
#ifdef ANIMA_HAS_WIDE
  if (kernels::has_wide()) return walk_wide(p);
#endif
  walk_narrow(p);
}

}  // namespace

template <typename T>
void reduce_to_tridiagonal(UpperRows<T>& a, T* d, T* e, T* taus) {
  static_assert(UpperRows<T>::kBlock == kRows);
  const int n = static_cast<int>(a.size()), whole = static_cast<int>(a.rows());
  constexpr int64_t kLine = 64 / sizeof(T);
  std::vector<T> zeros(4 * a.stride() + kLine);
  T* v = zeros.data() + (kLine - reinterpret_cast<uintptr_t>(zeros.data()) % 64 / sizeof(T)) % kLine;
  T *w = v + a.stride(), *x = w + a.stride(), *y = x + a.stride();
  for (int i = 0; i < n; ++i) {
    T* row = a.row(i);
    add_multiple(-v[i], w + i, row + i, n - i);
    add_multiple(-w[i], v + i, row + i, n - i);
    d[i] = row[i];
    const int rest = n - i - 1;
    if (rest == 0) break;
    e[i] = reflect(row + i + 1, rest, taus + i);
    // Rows of a block that are done have zeros in all vectors, so they stay.
    v[i] = w[i] = x[i] = 0;
    std::copy(row + i + 1, row + n, x + i + 1);
    std::fill(y, y + whole, T(0));
    walk_best<T>({a.row(0), a.stride(), (i + 1) / kRows * kRows, whole, v, w, x, y});
    std::fill(y + i / kRows * kRows, y + i + 1, T(0));
    // w = tau (y - tau / 2 (x y) x)
    const T tau = taus[i], half = tau * dot(x + i + 1, y + i + 1, rest) / 2;
    for (int j = i + 1; j < n; ++j) y[j] = tau * (y[j] - half * x[j]);
    std::swap(v, x);
    std::swap(w, y);
  }
}

template void reduce_to_tridiagonal(UpperRows<float>&, float*, float*, float*);
template void reduce_to_tridiagonal(UpperRows<double>&, double*, double*, double*);

}  // namespace anima::linalg
