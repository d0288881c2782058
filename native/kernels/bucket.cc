// The last steps of a sort by distribution, in vectors.
#include "kernels/bucket.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/clones.h"

namespace anima::kernels {
namespace {

// Steps after which four elements are sorted, whatever their order; a place has hardly ever more.
constexpr int kExchanges = 2;

template <int kBytes>
struct Lanes {
  static constexpr int kCount = kBytes / sizeof(uint32_t);
  typedef uint32_t V __attribute__((vector_size(kBytes)));
  typedef uint64_t Elements __attribute__((vector_size(kBytes)));
};
typedef int64_t Four __attribute__((vector_size(32)));
typedef int64_t Eight __attribute__((vector_size(64)));

// --- where places begin ---

// Adds to each lane the one `kBy` before it; the first have none.
template <int kBytes, int kBy, size_t... k>
ANIMA_INLINE void add_before(typename Lanes<kBytes>::V& x, std::index_sequence<k...>) {
  constexpr int kFirst = Lanes<kBytes>::kCount - kBy;
  const typename Lanes<kBytes>::V zeros{};
  x += __builtin_shufflevector(zeros, x, (kFirst + static_cast<int>(k))...);
}

// Adds the last lane of `x` to all lanes.
template <int kBytes, size_t... k>
ANIMA_INLINE void add_last(typename Lanes<kBytes>::V& to, const typename Lanes<kBytes>::V& x,
                           std::index_sequence<k...>) {
  to += __builtin_shufflevector(x, x, (static_cast<int>(k - k) + Lanes<kBytes>::kCount - 1)...);
}

template <int kBytes>
ANIMA_INLINE uint32_t begin_all(uint32_t* counts, int64_t size) {
  using V = typename Lanes<kBytes>::V;
  constexpr int kCount = Lanes<kBytes>::kCount;
  constexpr auto kAll = std::make_index_sequence<kCount>();
  V before{}, most{};
  for (int64_t i = 0; i < size; i += kCount) {
    V here;
    std::memcpy(&here, counts + i, sizeof here);
    most = here > most ? here : most;
    V sums = here;
    add_before<kBytes, 1>(sums, kAll);
    add_before<kBytes, 2>(sums, kAll);
    add_before<kBytes, 4>(sums, kAll);
    if constexpr (kCount > 8) add_before<kBytes, 8>(sums, kAll);
    const V begins = before + (sums - here);
    std::memcpy(counts + i, &begins, sizeof begins);
    add_last<kBytes>(before, sums, kAll);
  }
  uint32_t each[kCount];
  std::memcpy(each, &most, sizeof each);
  return *std::max_element(each, each + kCount);
}

uint32_t begin_few(uint32_t* counts, int64_t size) {
  uint32_t total = 0, most = 0;
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t count = std::exchange(counts[i], total);
    total += count;
    most = std::max(most, count);
  }
  return most;
}

// --- sorting by exchanges of neighbours, which is stable and has no branch ---

// Neighbours of two vectors: the earlier ones and the later ones, in an order that `parted` turns back.
ANIMA_INLINE void part(Lanes<32>::Elements& a, Lanes<32>::Elements& b) {
  const auto first = __builtin_shufflevector(a, b, 0, 4, 2, 6);
  b = __builtin_shufflevector(a, b, 1, 5, 3, 7);
  a = first;
}
ANIMA_INLINE void part(Lanes<64>::Elements& a, Lanes<64>::Elements& b) {
  const auto first = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
  b = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  a = first;
}

// Exchanges the neighbours (0, 1), (2, 3), ... that are in the wrong order.
template <int kBytes>
ANIMA_INLINE void exchange_pairs(uint64_t* row, int64_t n) {
  using V = typename Lanes<kBytes>::Elements;
  constexpr int kStep = Lanes<kBytes>::kCount;  // of two vectors of elements
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    V earlier, later;
    std::memcpy(&earlier, row + i, sizeof earlier);
    std::memcpy(&later, row + i + kStep / 2, sizeof later);
    part(earlier, later);
    const auto wrong = later < (earlier & kKeyHalf);
    V first = wrong ? later : earlier, second = wrong ? earlier : later;
    part(first, second);
    std::memcpy(row + i, &first, sizeof first);
    std::memcpy(row + i + kStep / 2, &second, sizeof second);
  }
  for (; i + 2 <= n; i += 2) {
    if (belongs_before(row[i + 1], row[i])) std::swap(row[i], row[i + 1]);
  }
}

// Insertion of the elements from `begin` on, where those before are in order.
ANIMA_INLINE void insert(uint64_t* row, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const uint64_t x = row[i];
    int64_t j = i;
    for (; j > 0 && belongs_before(x, row[j - 1]); --j) row[j] = row[j - 1];
    row[j] = x;
  }
}

ANIMA_INLINE bool any(const Four& x) { return ((x[0] | x[1]) | (x[2] | x[3])) != 0; }
ANIMA_INLINE bool any(const Eight& x) {
  Four halves[2];
  std::memcpy(halves, &x, sizeof x);
  return any(halves[0] | halves[1]);
}

// Sorted by insertion where an element belongs before its neighbour, which is hardly anywhere.
template <int kBytes>
ANIMA_INLINE void insert_few(uint64_t* row, int64_t n) {
  using V = typename Lanes<kBytes>::Elements;
  constexpr int kVectors = 4, kEach = Lanes<kBytes>::kCount / 2, kStep = kVectors * kEach;
  int64_t i = 0;
  for (; i + kStep < n; i += kStep) {
    std::conditional_t<kBytes == 32, Four, Eight> wrong{};
    for (int k = 0; k < kVectors; ++k) {
      V earlier, later;
      std::memcpy(&earlier, row + i + k * kEach, sizeof earlier);
      std::memcpy(&later, row + i + k * kEach + 1, sizeof later);
      wrong |= later < (earlier & kKeyHalf);
    }
    if (any(wrong)) insert(row, i + 1, i + kStep + 1);
  }
  insert(row, i + 1, n);
}

template <int kBytes>
ANIMA_INLINE void sort_row(uint64_t* row, int64_t n) {
  for (int i = 0; i < kExchanges; ++i) {
    exchange_pairs<kBytes>(row, n);
    exchange_pairs<kBytes>(row + 1, n - 1);
  }
  insert_few<kBytes>(row, n);
}

ANIMA_CLONES void sort_narrow(uint64_t* row, int64_t n) { sort_row<32>(row, n); }
ANIMA_CLONES uint32_t begin_narrow(uint32_t* counts, int64_t size) { return begin_all<32>(counts, size); }
#ifdef ANIMA_HAS_WIDE
ANIMA_WIDE void sort_wide(uint64_t* row, int64_t n) { sort_row<64>(row, n); }
ANIMA_WIDE uint32_t begin_wide(uint32_t* counts, int64_t size) { return begin_all<64>(counts, size); }
#endif

}  // namespace

uint32_t begin_places(uint32_t* counts, int64_t size) {
  if (size < Lanes<64>::kCount) return begin_few(counts, size);
#ifdef ANIMA_HAS_WIDE
  if (has_wide()) return begin_wide(counts, size);
#endif
  return begin_narrow(counts, size);
}

void sort_nearly_sorted(uint64_t* row, int64_t n) {
  if (n < 2) return;
#ifdef ANIMA_HAS_WIDE
  if (has_wide()) return sort_wide(row, n);
#endif
  sort_narrow(row, n);
}

ANIMA_CLONES void lower_halves(const uint64_t* row, int64_t n, uint32_t* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<uint32_t>(row[i]);
}

}  // namespace anima::kernels
