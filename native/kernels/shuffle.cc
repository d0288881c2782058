// Shuffling: where the elements of a row are after stable sorts by random keys, one sort after another.
//
// Each sort is a round. It packs a key (the upper half) and an element (the lower) into 64 bits, distributes
// these by their uppermost bits into buckets that fit a processor's nearest memory, and each bucket by the
// next bits into places of about one element, which leaves little to sort. Random keys make buckets of equal
// size; any keys are sorted rightly.
//
// Invariant: elements with equal keys keep their order; a row has fewer than 2**31 elements.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/bucket.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/rows.h"

namespace anima::kernels {
namespace {

constexpr int kBucketBits = 11;      // a bucket of 2**11 elements and what it is distributed to take 32 KiB
constexpr int kMostBits = 11;        // so many streams can be written at the same time
constexpr int64_t kLong = 1 << 16;   // rows that are worth several threads
constexpr int64_t kGrain = 1 << 12;  // elements that are worth a thread
constexpr uint32_t kCrowded = 32;    // so many elements in one place are not sorted by insertion

uint64_t packed(uint32_t key, uint32_t element) { return uint64_t{key} << 32 | element; }

// How many bits numbers below `n` have, for n > 0.
int bits_below(int64_t n) {
  int bits = 0;
  while ((int64_t{1} << bits) < n) ++bits;
  return bits;
}

// Sorts buckets of packed elements, which agree in the first `skipped` bits of their keys.
class BucketSorter {
 public:
  BucketSorter(int skipped, int64_t largest)
      : skipped_(skipped),
        row_(new uint64_t[largest]),
        offsets_(size_t{1} << std::min(32 - skipped, bits_below(largest) + 1)) {}

  // Writes the elements to `to`, in the order of their keys.
  void sort(const uint64_t* from, int64_t n, uint32_t* to) {
    if (n == 0) return;
    uint64_t* const row = row_.get();
    const bool crowded = distribute(from, n);
    if (crowded) {
      std::stable_sort(row, row + n, belongs_before);
    } else {
      sort_nearly_sorted(row, n);
    }
    lower_halves(row, n, to);
  }

 private:
  // By the next bits of keys; whether a place has got many.
  bool distribute(const uint64_t* from, int64_t n) {
    const int bits = std::max(1, std::min(32 - skipped_, bits_below(n)));
    const int shift = 64 - skipped_ - bits;
    const uint32_t size = uint32_t{1} << bits, mask = size - 1;
    uint32_t* const offsets = offsets_.data();
    std::fill_n(offsets, size, 0);
    for (int64_t i = 0; i < n; ++i) ++offsets[static_cast<uint32_t>(from[i] >> shift) & mask];
    const uint32_t most = begin_places(offsets, size);
    uint64_t* const row = row_.get();
    for (int64_t i = 0; i < n; ++i) {
      row[offsets[static_cast<uint32_t>(from[i] >> shift) & mask]++] = from[i];
    }
    return most > kCrowded;
  }

  const int skipped_;
  const std::unique_ptr<uint64_t[]> row_;
  std::vector<uint32_t> offsets_;
};

// The rounds of one row, whose elements are numbered, or in the order of the rounds before.
class Shuffler {
 public:
  // With a frame, several threads work on it.
  Shuffler(int64_t n, uint64_t* packed, ffi::CallFrame* frame)
      : n_(n),
        bits_(std::clamp(bits_below(n) - kBucketBits, 0, kMostBits)),
        frame_(frame),
        parts_(frame == nullptr ? 1 : 4 * threads_of(*frame)),
        packed_(packed) {}

  // `places` has the order of the rounds before, unless this is the first, and gets that after it.
  void round(const uint32_t* keys, uint32_t* places, bool first) {
    if (bits_ == 0) {
      pack(keys, places, first);
      return BucketSorter(0, n_).sort(packed_, n_, places);
    }
    const std::vector<uint32_t> begins = distribute(keys, places, first);
    const int64_t buckets = int64_t{1} << bits_;
    uint32_t largest = 0;
    for (int64_t i = 0; i < buckets; ++i) largest = std::max(largest, begins[i + 1] - begins[i]);
    in_parts(buckets, [&](int64_t, int64_t begin, int64_t end) {
      BucketSorter sorter(bits_, largest);
      for (int64_t i = begin; i < end; ++i) {
        sorter.sort(packed_ + begins[i], begins[i + 1] - begins[i], places + begins[i]);
      }
    });
  }

 private:
  void pack(const uint32_t* keys, const uint32_t* places, bool first) {
    for (int64_t i = 0; i < n_; ++i) {
      packed_[i] = packed(keys[i], first ? static_cast<uint32_t>(i) : places[i]);
    }
  }

  // Where each bucket begins, and where the last one ends.
  std::vector<uint32_t> distribute(const uint32_t* keys, const uint32_t* places, bool first) {
    const int64_t buckets = int64_t{1} << bits_;
    const int shift = 32 - bits_;
    std::vector<uint32_t> offsets(parts_ * buckets), begins(buckets + 1);
    in_parts(n_, [&](int64_t part, int64_t begin, int64_t end) {
      uint32_t* const own = &offsets[part * buckets];
      for (int64_t i = begin; i < end; ++i) ++own[keys[i] >> shift];
    });
    uint32_t total = 0;
    for (int64_t bucket = 0; bucket < buckets; ++bucket) {
      begins[bucket] = total;
      for (int64_t part = 0; part < parts_; ++part) {
        total += std::exchange(offsets[part * buckets + bucket], total);
      }
    }
    begins[buckets] = total;
    uint64_t* const to = packed_;
    in_parts(n_, [&](int64_t part, int64_t begin, int64_t end) {
      uint32_t* const own = &offsets[part * buckets];
      if (first) {
        for (int64_t i = begin; i < end; ++i)
          to[own[keys[i] >> shift]++] = packed(keys[i], static_cast<uint32_t>(i));
      } else {
        for (int64_t i = begin; i < end; ++i) to[own[keys[i] >> shift]++] = packed(keys[i], places[i]);
      }
    });
    return begins;
  }

  // Calls `body(part, begin, end)` for parts of [0, n).
  template <typename Body>
  void in_parts(int64_t n, const Body& body) const {
    const auto begin = [&](int64_t part) { return n / parts_ * part + std::min(part, n % parts_); };
    if (parts_ == 1) return body(0, 0, n);
    parallel_for(*frame_, parts_, 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part) body(part, begin(part), begin(part + 1));
    });
  }

  const int64_t n_;
  const int bits_;
  ffi::CallFrame* const frame_;
  const int64_t parts_;
  uint64_t* const packed_;
};

// Operands: the keys of each round, uint32 arrays of one shape. Results: places along the last dimension, and
// room for a packed element each, of no meaning afterwards.
void shuffle(const Call& call) {
  const int64_t rounds = std::max<int64_t>(call.operands(), 1);
  call.expect(rounds, 2);
  std::vector<const uint32_t*> keys;
  for (int64_t i = 0; i < rounds; ++i) {
    expect_same_shape(call.operand(i), call.result(0));
    keys.push_back(data<uint32_t>(call.operand(i)));
  }
  auto* const places = reinterpret_cast<uint32_t*>(data<int32_t>(call.result(0)));
  expect_same_shape(call.result(0), call.result(1));
  auto* const spare = data<uint64_t>(call.result(1));
  const Shape3 shape = shape_along(call.operand(0), call.operand(0).rank - 1);
  const int64_t n = shape.length;
  if (n >= int64_t{1} << 31) throw KernelError("shuffle: the last dimension is too long");
  if (n == 0) return;
  const auto sort_rows = [&](int64_t begin, int64_t end, ffi::CallFrame* frame) {
    for (int64_t row = begin; row < end; ++row) {
      Shuffler shuffler(n, spare + row * n, frame);
      for (int64_t i = 0; i < rounds; ++i) shuffler.round(keys[i] + row * n, places + row * n, i == 0);
    }
  };
  if (n >= kLong && shape.outer < threads_of(call.frame())) return sort_rows(0, shape.outer, &call.frame());
  parallel_for(call.frame(), shape.outer, kGrain / n + 1,
               [&](int64_t begin, int64_t end) { sort_rows(begin, end, nullptr); });
}

}  // namespace

extern const Kernel kShuffleKernels[] = {kernel<shuffle>("anima_shuffle"), {nullptr, nullptr}};

}  // namespace anima::kernels
