// The largest elements along one dimension, and their places.
#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/radix.h"
#include "kernels/rows.h"

namespace anima::kernels {
namespace {

constexpr int64_t kBlock = 64;       // elements that are compared with the threshold together
constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread

// An element that may be among the largest: larger ones come first, of equal ones the first.
template <typename R>
struct Candidate {
  R rank;
  int32_t place;
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : place < other.place;
  }
};

// Ranks as signed integers, which processors compare more readily in numbers: the order that tells zeros and
// NaNs apart.
template <typename Order>
struct TopOrder {
  using Key = typename Order::Key;
  using Rank = std::make_signed_t<Key>;
  Order order;
  Rank operator()(Key x) const {
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

// The best of a stream of elements.
template <typename Order>
class Selection {
 public:
  using K = typename Order::Key;
  using Rank = typename TopOrder<Order>::Rank;

  Selection(const TopOrder<Order>& order, int64_t k)
      : order_(order), k_(k), room_(2 * k + 2 * kBlock), found_(new Candidate<Rank>[room_]) {}

  // Elements of one row, in order of their places, from `begin` to `end`.
  void take(const K* row, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kBlock) {
      const int64_t stop = std::min(end, at + kBlock);
      if (full_ && !any_larger(row + at, stop - at)) continue;
      if (count_ + kBlock > room_) shrink();
      for (int64_t i = at; i < stop; ++i) {
        const Rank rank = order_(row[i]);
        found_[count_] = {rank, static_cast<int32_t>(i)};
        count_ += !full_ || rank > threshold_;
      }
    }
  }

  void take(const Selection& other) {
    for (int64_t i = 0; i < other.count_; ++i) {
      if (count_ == room_) shrink();
      found_[count_++] = other.found_[i];
    }
  }

  // The largest, in order.
  const Candidate<Rank>* sorted() {
    if (count_ > k_) shrink();
    std::sort(found_.get(), found_.get() + count_);
    return found_.get();
  }

  // For another row.
  void clear() {
    count_ = 0;
    full_ = false;
  }

 private:
  bool any_larger(const K* keys, int64_t n) const {
    Rank larger = 0;
    for (int64_t i = 0; i < n; ++i) larger |= static_cast<Rank>(-(order_(keys[i]) > threshold_));
    return larger != 0;
  }

  // Keeps the largest `k`. Later elements that equal the last of these come after it.
  void shrink() {
    std::nth_element(found_.get(), found_.get() + k_ - 1, found_.get() + count_);
    threshold_ = found_[k_ - 1].rank;
    count_ = k_;
    full_ = true;
  }

  const TopOrder<Order> order_;
  const int64_t k_, room_;
  const std::unique_ptr<Candidate<Rank>[]> found_;
  int64_t count_ = 0;
  bool full_ = false;  // whether a threshold is known
  Rank threshold_ = 0;
};

// Finds the largest in rows whose elements lie together.
template <typename Order>
class RowTop {
 public:
  using K = typename Order::Key;

  RowTop(const Order& order, int64_t n, int64_t k)
      : order_{order},
        n_(n),
        k_(k),
        by_sorting_(n > kShort && k > n / 16),
        selection_(order_, by_sorting_ ? 1 : k) {
    if (by_sorting_) {
      keys_.reset(new K[2 * n]);
      places_.reset(new int32_t[2 * n]);
    }
  }

  // With a frame, several threads may work on the row.
  void find(const K* row, K* values, int32_t* places, ffi::CallFrame* frame = nullptr) {
    if (by_sorting_) {
      const Target<K, int32_t> result{keys_.get(), places_.get()};
      const Target<K, int32_t> spare{keys_.get() + n_, places_.get() + n_};
      sort_row(Descending<Order>{order_}, Source<K, int32_t>{row, nullptr}, result, spare, n_, frame);
      std::copy_n(result.keys, k_, values);
      std::copy_n(result.values, k_, places);
      return;
    }
    selection_.clear();
    if (frame == nullptr) {
      selection_.take(row, 0, n_);
    } else {
      take_in_parts(row, *frame);
    }
    const auto* best = selection_.sorted();
    for (int64_t i = 0; i < k_; ++i) {
      places[i] = best[i].place;
      values[i] = row[best[i].place];
    }
  }

 private:
  void take_in_parts(const K* row, ffi::CallFrame& frame) {
    const int64_t parts = threads_of(frame), size = (n_ + parts - 1) / parts;
    std::deque<Selection<Order>> found;
    for (int64_t i = 0; i < parts; ++i) found.emplace_back(order_, k_);
    parallel_for(frame, parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        found[i].take(row, std::min(n_, i * size), std::min(n_, (i + 1) * size));
      }
    });
    for (const auto& part : found) selection_.take(part);
  }

  const TopOrder<Order> order_;
  const int64_t n_, k_;
  const bool by_sorting_;  // where many are wanted
  Selection<Order> selection_;
  std::unique_ptr<K[]> keys_;
  std::unique_ptr<int32_t[]> places_;
};

template <typename Order>
void top_of(const Call& call, const Order& order, const Shape3& shape, int64_t k) {
  using K = typename Order::Key;
  const auto* x = static_cast<const K*>(call.operand(0).data);
  auto* values = static_cast<K*>(call.result(0).data);
  auto* places = data<int32_t>(call.result(1));
  const int64_t n = shape.length, inner = shape.inner;
  if (inner == 1) {
    if (n >= kLong && shape.outer < threads_of(call.frame())) {
      RowTop<Order> top(order, n, k);
      for (int64_t i = 0; i < shape.outer; ++i) {
        top.find(x + i * n, values + i * k, places + i * k, &call.frame());
      }
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
