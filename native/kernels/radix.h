// Stable sorting of one row of keys, and of a value with each.
//
// Least significant digits first: each pass distributes the elements by one digit of their ranks and keeps
// their order. Passes on which all elements agree are left out, and a row that is sorted is only copied.
//
// Invariant: the source, the result and the spare room do not overlap, but a source that need not be kept may
// be the spare room of a sort in one thread; a row has fewer than 2**31 elements.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/order.h"
#include "kernels/parallel.h"

namespace anima::kernels {

struct Nothing {};  // the value of keys that go alone

// Keys and their values. A source without values has the places of its keys in their stead.
template <typename K, typename V>
struct Source {
  const K* keys;
  const V* values;
};
template <typename K, typename V>
struct Target {
  K* keys;
  V* values;
  Source<K, V> source() const { return {keys, values}; }
  Target from(int64_t place) const { return {keys + place, values == nullptr ? nullptr : values + place}; }
};

template <typename V>
constexpr bool kHasValues = !std::is_same_v<V, Nothing>;

constexpr int64_t kShort = 32;           // rows that are sorted by insertion
constexpr int64_t kManyCounters = 4096;  // rows from here on are worth larger digits,
constexpr int64_t kManyPages = 1 << 18;  // but not where each element written would miss the TLB
constexpr int64_t kLong = 1 << 17;       // rows that are worth several threads

template <typename K, typename V>
void copy_row(const Source<K, V>& from, const Target<K, V>& to, int64_t n) {
  std::copy_n(from.keys, n, to.keys);
  if constexpr (kHasValues<V>) {
    if (from.values != nullptr) {
      std::copy_n(from.values, n, to.values);
    } else {
      for (int64_t i = 0; i < n; ++i) to.values[i] = static_cast<V>(i);
    }
  }
}

// Insertion sort of ranks together with their places.
template <typename Order, typename V>
void sort_short(const Order& order, const Source<typename Order::Key, V>& from,
                const Target<typename Order::Key, V>& to, int64_t n) {
  using K = typename Order::Key;
  K ranks[kShort];
  uint8_t places[kShort];
  for (int64_t i = 0; i < n; ++i) {
    const K rank = order(from.keys[i]);
    int64_t j = i;
    for (; j > 0 && ranks[j - 1] > rank; --j) {
      ranks[j] = ranks[j - 1];
      places[j] = places[j - 1];
    }
    ranks[j] = rank;
    places[j] = static_cast<uint8_t>(i);
  }
  for (int64_t i = 0; i < n; ++i) {
    const int64_t place = places[i];
    to.keys[i] = from.keys[place];
    if constexpr (kHasValues<V>) {
      to.values[i] = from.values != nullptr ? from.values[place] : static_cast<V>(place);
    }
  }
}

// One sort, by digits of `Bits` bits.
template <int Bits, typename Order, typename V>
class RadixSort {
 public:
  using K = typename Order::Key;
  static constexpr int kPasses = (8 * sizeof(K) + Bits - 1) / Bits;
  static constexpr int kBuckets = 1 << Bits;
  using Counts = uint32_t[kBuckets];

  RadixSort(const Order& order, const Source<K, V>& source, const Target<K, V>& result,
            const Target<K, V>& spare, int64_t n)
      : order_(order), source_(source), result_(result), spare_(spare), n_(n) {}

  // In one thread.
  void run() {
    Counts counts[kPasses];
    std::memset(counts, 0, sizeof(counts));
    if (count_all(counts)) return copy_row(source_, result_, n_);
    int passes[kPasses];
    const int needed = choose(counts, passes);
    Source<K, V> from = source_;
    if (needed % 2 == 0 && source_.keys == spare_.keys) {  // the first pass would write where it reads
      copy_row(source_, result_, n_);
      from = result_.source();
    }
    for (int i = 0; i < needed; ++i) {
      Counts& offsets = counts[passes[i]];
      uint32_t total = 0;
      for (uint32_t& bucket : offsets) total += std::exchange(bucket, total);
      const Target<K, V>& to = target(needed - i);
      distribute(from, to, 0, n_, passes[i], offsets);
      from = to.source();
    }
  }

  // In several threads, each with a part of the row.
  void run(ffi::CallFrame& frame, int64_t parts) {
    std::vector<Look> looks(parts);
    in_parts(frame, parts, [&](int64_t part, int64_t begin, int64_t end) { looks[part] = look(begin, end); });
    Look all;
    for (const Look& own : looks)
      all = {static_cast<K>(all.different | own.different), all.sorted && own.sorted};
    if (all.sorted) return copy_row(source_, result_, n_);
    int passes[kPasses], needed = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
      if ((all.different >> (pass * Bits)) & (kBuckets - 1)) passes[needed++] = pass;
    }
    std::vector<uint32_t> room(parts * kBuckets);
    auto* counts = reinterpret_cast<Counts*>(room.data());  // for each part
    if (needed > 1) {
      const int top = passes[needed - 1];
      count_in_parts(frame, parts, source_, top, counts);
      std::vector<uint32_t> sizes(kBuckets);
      for (size_t i = 0; i < room.size(); ++i) sizes[i % kBuckets] += room[i];
      if (*std::max_element(sizes.begin(), sizes.end()) <= n_ / parts) {
        return by_buckets(frame, parts, counts, top, sizes);
      }
    }
    Source<K, V> from = source_;
    for (int i = 0; i < needed; ++i) {
      const Target<K, V>& to = target(needed - i);
      count_in_parts(frame, parts, from, passes[i], counts);
      distribute_in_parts(frame, parts, from, to, passes[i], counts);
      from = to.source();
    }
  }

 private:
  // What a part of the source shows at a glance.
  struct Look {
    K different = 0;     // the bits of ranks that differ from those of the first one
    bool sorted = true;  // and not less than what is before it
  };

  Look look(int64_t begin, int64_t end) const {
    Look found;
    const K first = order_(source_.keys[0]);
    for (int64_t i = std::max<int64_t>(begin, 1); i < end; ++i) {
      const K rank = order_(source_.keys[i]);
      found.different |= rank ^ first;
      found.sorted &= order_(source_.keys[i - 1]) <= rank;
    }
    return found;
  }

  // By the most significant digit on which elements differ, after which each bucket is a row of its own.
  void by_buckets(ffi::CallFrame& frame, int64_t parts, Counts* counts, int pass,
                  const std::vector<uint32_t>& sizes) const {
    distribute_in_parts(frame, parts, source_, spare_, pass, counts);
    std::vector<int64_t> begins(kBuckets);
    for (int i = 1; i < kBuckets; ++i) begins[i] = begins[i - 1] + sizes[i - 1];
    const auto sort_bucket = [&](int bucket) {
      const int64_t begin = begins[bucket], size = sizes[bucket];
      const Target<K, V> from = spare_.from(begin), to = result_.from(begin);
      if (size <= kShort) return sort_short(order_, from.source(), to, size);
      RadixSort(order_, from.source(), to, from, size).run();
    };
    std::atomic<int> next{0};  // the buckets of some size tend to be neighbours
    parallel_for(frame, parts, 1, [&](int64_t, int64_t) {
      for (int bucket = next++; bucket < kBuckets; bucket = next++) sort_bucket(bucket);
    });
  }

  void count_in_parts(ffi::CallFrame& frame, int64_t parts, const Source<K, V>& from, int pass,
                      Counts* counts) const {
    in_parts(frame, parts, [&](int64_t part, int64_t begin, int64_t end) {
      Counts& own = counts[part];
      std::memset(own, 0, sizeof(own));
      for (int64_t i = begin; i < end; ++i) ++own[digit(from.keys[i], pass)];
    });
  }

  void distribute_in_parts(ffi::CallFrame& frame, int64_t parts, const Source<K, V>& from,
                           const Target<K, V>& to, int pass, Counts* counts) const {
    uint32_t total = 0;
    for (int bucket = 0; bucket < kBuckets; ++bucket) {
      for (int64_t part = 0; part < parts; ++part) {
        total += std::exchange(counts[part][bucket], total);
      }
    }
    in_parts(frame, parts, [&](int64_t part, int64_t begin, int64_t end) {
      distribute(from, to, begin, end, pass, counts[part]);
    });
  }

  // Where the pass writes after which `left` - 1 are left: the last one to the result.
  const Target<K, V>& target(int left) const { return left % 2 == 1 ? result_ : spare_; }

  uint32_t digit(K key, int pass) const {
    return static_cast<uint32_t>(order_(key) >> (pass * Bits)) & (kBuckets - 1);
  }

  template <typename Body>
  void in_parts(ffi::CallFrame& frame, int64_t parts, const Body& body) const {
    const int64_t size = (n_ + parts - 1) / parts;
    parallel_for(frame, parts, 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part) {
        body(part, std::min(n_, part * size), std::min(n_, (part + 1) * size));
      }
    });
  }

  // Counts the digits of every pass; whether the source is sorted.
  bool count_all(Counts* counts) const {
    K last = order_(source_.keys[0]);
    bool sorted = true;
    for (int64_t i = 0; i < n_; ++i) {
      const K rank = order_(source_.keys[i]);
      sorted &= last <= rank;
      last = rank;
      for (int pass = 0; pass < kPasses; ++pass) {
        ++counts[pass][static_cast<uint32_t>(rank >> (pass * Bits)) & (kBuckets - 1)];
      }
    }
    return sorted;
  }

  // The passes on which elements differ.
  int choose(const Counts* counts, int* passes) const {
    int needed = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
      if (counts[pass][digit(source_.keys[0], pass)] != n_) passes[needed++] = pass;
    }
    return needed;
  }

  void distribute(const Source<K, V>& from, const Target<K, V>& to, int64_t begin, int64_t end, int pass,
                  uint32_t* offsets) const {
    for (int64_t i = begin; i < end; ++i) {
      const K key = from.keys[i];
      const uint32_t at = offsets[digit(key, pass)]++;
      to.keys[at] = key;
      if constexpr (kHasValues<V>) {
        to.values[at] = from.values != nullptr ? from.values[i] : static_cast<V>(i);
      }
    }
  }

  const Order order_;
  const Source<K, V> source_;
  const Target<K, V> result_, spare_;
  const int64_t n_;
};

// Sorts a row; `spare` has room for as many elements, unless the row is short. With a frame, several threads
// may work on it.
template <typename Order, typename V>
void sort_row(const Order& order, const Source<typename Order::Key, V>& from,
              const Target<typename Order::Key, V>& to, const Target<typename Order::Key, V>& spare,
              int64_t n, ffi::CallFrame* frame = nullptr) {
  if (n <= kShort) return sort_short(order, from, to, n);
  const int64_t threads = frame == nullptr || n < kLong ? 1 : threads_of(*frame);
  const auto by_digits = [&](auto sort) { threads < 2 ? sort.run() : sort.run(*frame, threads); };
  if constexpr (sizeof(typename Order::Key) > 2) {
    if (n >= kManyCounters && n < kManyPages)
      return by_digits(RadixSort<11, Order, V>(order, from, to, spare, n));
  }
  by_digits(RadixSort<8, Order, V>(order, from, to, spare, n));
}

}  // namespace anima::kernels
