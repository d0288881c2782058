// The largest elements along one dimension, and their places.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/radix.h"
#include "kernels/rows.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;   // elements that are worth a thread
constexpr int64_t kShared = 1 << 18;  // a row of which is worth several
constexpr int64_t kFewest = 32;       // so many are kept in order while the row is read

// Ranks as signed integers, which processors compare more readily in numbers: the order that tells zeros and
// NaNs apart.
template <typename Order>
struct TopOrder {
  using Key = typename Order::Key;
  using Rank = std::make_signed_t<Key>;
  Order order;
  ANIMA_INLINE Rank operator()(Key x) const {
    if constexpr (std::is_same_v<Order, FloatOrder<Key>>) {
      const auto bits = static_cast<Rank>(x);
      return static_cast<Rank>(bits ^ ((bits >> (8 * sizeof(Key) - 1)) & ~static_cast<Rank>(kSign<Key>)));
    } else {
      return static_cast<Rank>(order(x) ^ kSign<Key>);
    }
  }
};

// The same, the largest first.
template <typename Order>
struct Descending {
  using Key = typename Order::Key;
  TopOrder<Order> order;
  Key operator()(Key x) const { return static_cast<Key>(~(static_cast<Key>(order(x)) ^ kSign<Key>)); }
};

constexpr int64_t kTogether = 64;  // elements that are looked at in few steps

// Where the first `kTogether` elements begin of which one has this rank or more, and which of them have; the
// last elements, which may be fewer, are not looked at.
template <typename Order>
ANIMA_CLONES int64_t find_together(const TopOrder<Order>& order, const typename Order::Key* row, int64_t at,
                                   int64_t end, typename TopOrder<Order>::Rank least, uint8_t* have) {
  for (; at + kTogether <= end; at += kTogether) {
    int found = 0;
    for (int64_t i = 0; i < kTogether; ++i) found |= order(row[at + i]) >= least;
    if (found == 0) continue;
    for (int64_t i = 0; i < kTogether; ++i) have[i] = order(row[at + i]) >= least;
    break;
  }
  return at;
}

// Calls `visit(rank, place)` for the elements of a row whose rank is `least()` or more, which may grow.
template <typename Order, typename Least, typename Visit>
void scan(const TopOrder<Order>& order, const typename Order::Key* row, int64_t begin, int64_t end,
          const Least& least, const Visit& visit) {
  uint8_t have[kTogether];
  int64_t at = begin;
  for (; at = find_together(order, row, at, end, least(), have), at + kTogether <= end; at += kTogether) {
    for (int64_t from = 0; from < kTogether; from += 8) {
      uint64_t any;
      std::memcpy(&any, have + from, sizeof any);
      if (any == 0) continue;
      for (int64_t i = at + from; i < at + from + 8; ++i) {
        if (have[i - at]) visit(order(row[i]), static_cast<int32_t>(i));
      }
    }
  }
  for (; at < end; ++at) {
    if (order(row[at]) >= least()) visit(order(row[at]), static_cast<int32_t>(at));
  }
}

// The best so far, at most `kFewest`, the largest first.
template <typename Rank>
class Leaders {
 public:
  // Only elements of this rank or more are of interest.
  explicit Leaders(int64_t k, Rank least = std::numeric_limits<Rank>::min()) : k_(k), least_(least) {}

  int64_t count() const { return count_; }
  Rank rank(int64_t i) const { return ranks_[i]; }
  int32_t place(int64_t i) const { return places_[i]; }
  Rank least() const { return least_; }

  // Of equal ones those that are added first come first.
  void add(Rank rank, int32_t place) {
    if (count_ == k_) {
      if (rank <= ranks_[k_ - 1]) return;
      --count_;
    }
    int64_t i = count_++;
    for (; i > 0 && ranks_[i - 1] < rank; --i) {
      ranks_[i] = ranks_[i - 1];
      places_[i] = places_[i - 1];
    }
    ranks_[i] = rank;
    places_[i] = place;
    if (count_ == k_) {
      const Rank last = ranks_[k_ - 1];
      least_ = last == std::numeric_limits<Rank>::max() ? last : static_cast<Rank>(last + 1);
    }
  }

 private:
  int64_t k_;
  Rank least_;
  int64_t count_ = 0;
  Rank ranks_[kFewest];
  int32_t places_[kFewest];
};

// Finds the largest in rows whose elements lie together. With a frame, several threads may work on a row.
template <typename Order>
class RowTop {
 public:
  using K = typename Order::Key;
  using Rank = typename TopOrder<Order>::Rank;

  RowTop(const Order& order, int64_t n, int64_t k, ffi::CallFrame* frame = nullptr)
      : order_{order}, n_(n), k_(k), frame_(frame), parts_(frame == nullptr ? 1 : threads_of(*frame)) {}

  void find(const K* row, K* values, int32_t* places) {
    if (k_ <= kFewest) return by_reading(row, values, places);
    if (k_ > n_ / 8 || !by_sample(row, values, places)) {
      by_sorting(Source<K, int32_t>{row, nullptr}, n_, values, places);
    }
  }

 private:
  template <typename Body>
  void in_parts(const Body& body) const {
    const int64_t size = (n_ + parts_ - 1) / parts_;
    const auto part = [&](int64_t i) { body(i, std::min(n_, i * size), std::min(n_, (i + 1) * size)); };
    if (frame_ == nullptr) return part(0);
    parallel_for(*frame_, parts_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) part(i);
    });
  }

  // Calls `visit(rank)` for some elements from all over the row.
  template <typename Visit>
  void sample(const K* row, int64_t size, const Visit& visit) const {
    constexpr int64_t together = 16;
    const int64_t blocks = std::max<int64_t>(size / together, 1);
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t at = i * (n_ / blocks);
      for (int64_t j = at; j < std::min(n_, at + together); ++j) visit(order_(row[j]));
    }
  }

  void by_reading(const K* row, K* values, int32_t* places) {
    Leaders<Rank> best(k_);
    if (n_ >=
        kLong) {  // some of a row show what is of no interest, lest every element of a rising one be added
      sample(row, 1024, [&](Rank rank) { best.add(rank, 0); });
      best = Leaders<Rank>(k_, best.rank(k_ - 1));
    }
    std::vector<Leaders<Rank>> leaders(parts_, best);
    in_parts([&](int64_t i, int64_t begin, int64_t end) {
      Leaders<Rank> own = best;  // in memory of this thread
      const auto add = [&](Rank rank, int32_t place) {
        if (rank >= own.least()) own.add(rank, place);
      };
      scan(order_, row, begin, end, [&] { return own.least(); }, add);
      leaders[i] = own;
    });
    for (const Leaders<Rank>& part : leaders) {
      for (int64_t i = 0; i < part.count(); ++i) best.add(part.rank(i), part.place(i));
    }
    for (int64_t i = 0; i < k_; ++i) {
      places[i] = best.place(i);
      values[i] = row[best.place(i)];
    }
  }

  // A number that a little more than the wanted elements are probably not less than.
  Rank threshold(const K* row) {
    std::vector<Rank> found;
    sample(row, std::min<int64_t>(n_ / 8, 4096), [&](Rank rank) { found.push_back(rank); });
    const auto count = static_cast<int64_t>(found.size());
    const double expected = static_cast<double>(count) * k_ / n_;
    const auto place = std::min(count - 1, static_cast<int64_t>(expected + 3 * std::sqrt(expected) + 2));
    std::nth_element(found.begin(), found.begin() + place, found.end(), std::greater<Rank>());
    return found[place];
  }

  // Sorts only what is not less than a threshold. False if that was less than is wanted.
  bool by_sample(const K* row, K* values, int32_t* places) {
    const Rank least = threshold(row);
    struct Found {
      std::vector<K> keys;
      std::vector<int32_t> places;
      int64_t equal = 0;
    };
    std::vector<Found> found(parts_);
    in_parts([&](int64_t i, int64_t begin, int64_t end) {
      Found& own = found[i];
      const auto visit = [&](Rank rank, int32_t place) {
        if (rank < least || (rank == least && ++own.equal > k_)) return;  // of equal ones the first
        own.keys.push_back(row[place]);
        own.places.push_back(place);
      };
      scan(order_, row, begin, end, [least] { return least; }, visit);
    });
    Found& all = found[0];
    for (int64_t i = 1; i < parts_; ++i) {
      all.keys.insert(all.keys.end(), found[i].keys.begin(), found[i].keys.end());
      all.places.insert(all.places.end(), found[i].places.begin(), found[i].places.end());
    }
    const auto count = static_cast<int64_t>(all.keys.size());
    if (count < k_) return false;
    by_sorting(Source<K, int32_t>{all.keys.data(), all.places.data()}, count, values, places);
    return true;
  }

  void by_sorting(const Source<K, int32_t>& from, int64_t n, K* values, int32_t* places) {
    keys_.resize(2 * n);
    places_.resize(2 * n);
    const Target<K, int32_t> result{keys_.data(), places_.data()}, spare{&keys_[n], &places_[n]};
    sort_row(Descending<Order>{order_}, from, result, spare, n, frame_);
    std::copy_n(result.keys, k_, values);
    std::copy_n(result.values, k_, places);
  }

  const TopOrder<Order> order_;
  const int64_t n_, k_;
  ffi::CallFrame* const frame_;
  const int64_t parts_;
  std::vector<K> keys_;
  std::vector<int32_t> places_;
};

template <typename Order>
void top_of(const Call& call, const Order& order, const Shape3& shape, int64_t k) {
  using K = typename Order::Key;
  const auto* x = static_cast<const K*>(call.operand(0).data);
  auto* values = static_cast<K*>(call.result(0).data);
  auto* places = data<int32_t>(call.result(1));
  const int64_t n = shape.length, inner = shape.inner;
  if (inner == 1) {
    if (n >= kShared && shape.outer < threads_of(call.frame())) {
      RowTop<Order> top(order, n, k, &call.frame());
      for (int64_t i = 0; i < shape.outer; ++i) top.find(x + i * n, values + i * k, places + i * k);
      return;
    }
    return parallel_for(call.frame(), shape.outer, kGrain / n + 1, [&](int64_t begin, int64_t end) {
      RowTop<Order> top(order, n, k);
      for (int64_t i = begin; i < end; ++i) top.find(x + i * n, values + i * k, places + i * k);
    });
  }
  const int64_t at_once = columns_at_once(sizeof(K), inner), in_row = (inner + at_once - 1) / at_once;
  const int64_t grain = kGrain / (n * at_once) + 1;
  parallel_for(call.frame(), shape.outer * in_row, grain, [&](int64_t begin, int64_t end) {
    RowTop<Order> top(order, n, k);
    std::vector<K> rows(n * at_once), found(k * at_once);
    std::vector<int32_t> found_at(k * at_once);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t outer = block / in_row, column = block % in_row * at_once;
      const int64_t columns = std::min(at_once, inner - column);
      columns_to_rows(x + outer * n * inner + column, inner, rows.data(), n, columns);
      for (int64_t i = 0; i < columns; ++i) top.find(&rows[i * n], &found[i * k], &found_at[i * k]);
      rows_to_columns(found.data(), values + outer * k * inner + column, inner, k, columns);
      rows_to_columns(found_at.data(), places + outer * k * inner + column, inner, k, columns);
    }
  });
}

void top_k(const Call& call) {
  call.expect(1, 2);
  const ffi::Buffer &x = call.operand(0), &values = call.result(0);
  expect_same_shape(values, call.result(1));
  if (values.type != x.type)
    throw KernelError("top_k: the values have another element type than the operand");
  data<int32_t>(call.result(1));
  const int64_t axis = call.integer("axis");
  const Shape3 shape = shape_along(x, axis), found = shape_along(values, axis);
  bool fits = x.rank == values.rank && found.length <= shape.length && shape.length < int64_t{1} << 31;
  for (int64_t i = 0; fits && i < x.rank; ++i) fits = i == axis || x.dims[i] == values.dims[i];
  if (!fits) throw KernelError("top_k: the results do not have the shape of the operand's largest elements");
  with_order(x.type, [&](auto order) {
    if constexpr (std::is_same_v<decltype(order), TableOrder>) order.ranks = total_ranks_of(x.type);
    if (size_of(values) > 0) top_of(call, order, shape, found.length);
  });
}

}  // namespace

extern const Kernel kTopKernels[] = {kernel<top_k>("anima_top_k"), {nullptr, nullptr}};

}  // namespace anima::kernels
