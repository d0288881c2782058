// Sorting along one dimension, by one key or by several, with any number of values.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/radix.h"
#include "kernels/rows.h"

namespace anima::kernels {
namespace {

using ffi::DataType;

constexpr int64_t kGrain = 1 << 12;  // elements that are worth a thread

// What elements are compared by: an operand, or a part of a complex one.
struct Key {
  int64_t operand;
  DataType type;
  int64_t step, part;  // every how many numbers, from which on
};

// What a call sorts.
struct Plan {
  std::vector<DataType> types;
  std::vector<int64_t> widths;
  std::vector<Key> keys;
  std::vector<const char*> from;
  std::vector<char*> to;
  Shape3 shape;

  int64_t count() const { return static_cast<int64_t>(widths.size()); }
};

DataType part_of(DataType type) {
  if (type == DataType::kC64) return DataType::kF32;
  return type == DataType::kC128 ? DataType::kF64 : type;
}

Plan read(const Call& call) {
  const int64_t count = std::max<int64_t>(call.operands(), 1);
  call.expect(count, count);
  Plan plan;
  plan.shape = shape_along(call.operand(0), call.integer("dimension"));
  if (plan.shape.length >= int64_t{1} << 31) throw KernelError("sort: the dimension is too long");
  const int64_t num_keys = call.integer("num_keys");
  if (num_keys < 1 || num_keys > count) {
    throw KernelError("sort: num_keys must be at least 1 and at most the number of operands");
  }
  for (int64_t i = 0; i < count; ++i) {
    const ffi::Buffer &from = call.operand(i), &to = call.result(i);
    expect_same_shape(call.operand(0), from);
    expect_same_shape(from, to);
    if (from.type != to.type) throw KernelError("sort: a result has another element type than its operand");
    plan.types.push_back(from.type);
    plan.widths.push_back(width_of(from.type));
    plan.from.push_back(static_cast<const char*>(from.data));
    plan.to.push_back(static_cast<char*>(to.data));
    if (i >= num_keys) continue;
    const DataType part = part_of(from.type);
    const int64_t parts = part == from.type ? 1 : 2;
    for (int64_t j = 0; j < parts; ++j) plan.keys.push_back({i, part, parts, j});
  }
  return plan;
}

// Memory that is not initialised.
class Room {
 public:
  template <typename T>
  T* of(int64_t n) {
    if (n * static_cast<int64_t>(sizeof(T)) > size_) {
      size_ = n * sizeof(T);
      data_.reset(new char[size_]);
    }
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  std::unique_ptr<char[]> data_;
  int64_t size_ = 0;
};

// Sorts rows whose elements lie together, one after the other. With a frame, several threads work on a row.
class RowSorter {
 public:
  explicit RowSorter(const Plan& plan, ffi::CallFrame* frame = nullptr)
      : plan_(plan), n_(plan.shape.length), frame_(frame) {}

  // Each operand's row and each result's.
  void sort(const std::vector<const char*>& from, const std::vector<char*>& to) {
    const bool plain = plan_.keys.size() == 1;
    const int64_t value_width = plan_.count() == 2 ? plan_.widths[1] : 0;
    if (plain && plan_.count() == 1) {
      by_key<Nothing>(from, to);
    } else if (plain && value_width == 4) {
      by_key<uint32_t>(from, to);
    } else if (plain && value_width == 8) {
      by_key<uint64_t>(from, to);
    } else {
      by_places(from, to);
    }
  }

 private:
  // One key, and one value that goes along or none.
  template <typename V>
  void by_key(const std::vector<const char*>& from, const std::vector<char*>& to) {
    with_order(plan_.keys[0].type, [&](auto order) {
      using K = typename decltype(order)::Key;
      Source<K, V> source{reinterpret_cast<const K*>(from[0]), nullptr};
      Target<K, V> target{reinterpret_cast<K*>(to[0]), nullptr};
      Target<K, V> spare{spare_keys_.of<K>(n_), nullptr};
      if constexpr (kHasValues<V>) {
        source.values = reinterpret_cast<const V*>(from[1]);
        target.values = reinterpret_cast<V*>(to[1]);
        spare.values = spare_places_.of<V>(n_);
      }
      sort_row(order, source, target, spare, n_, frame_);
    });
  }

  // The places in the order of the last key, then of the one before it, ...; then everything moves there.
  void by_places(const std::vector<const char*>& from, const std::vector<char*>& to) {
    const uint32_t* places = nullptr;
    for (size_t i = plan_.keys.size(); i-- > 0;) {
      const Key& key = plan_.keys[i];
      uint32_t* next = places_[i % 2].of<uint32_t>(n_);
      with_order(key.type, [&](auto order) {
        using K = typename decltype(order)::Key;
        const K* numbers = reinterpret_cast<const K*>(from[key.operand]) + key.part;
        if (places != nullptr || key.step != 1) {
          K* gathered = keys_.of<K>(n_);
          for (int64_t j = 0; j < n_; ++j) {
            gathered[j] = numbers[key.step * (places == nullptr ? j : places[j])];
          }
          numbers = gathered;
        }
        const Target<K, uint32_t> target{sorted_keys_.of<K>(n_), next};
        const Target<K, uint32_t> spare{spare_keys_.of<K>(n_), spare_places_.of<uint32_t>(n_)};
        sort_row(order, Source<K, uint32_t>{numbers, places}, target, spare, n_, frame_);
      });
      places = next;
    }
    for (int64_t i = 0; i < plan_.count(); ++i) move(from[i], to[i], plan_.widths[i], places);
  }

  void move(const char* from, char* to, int64_t width, const uint32_t* places) {
    with_width(width, [&](auto type) {
      using T = decltype(type);
      const T* source = reinterpret_cast<const T*>(from);
      T* target = reinterpret_cast<T*>(to);
      const auto body = [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) target[i] = source[places[i]];
      };
      if (frame_ == nullptr) return body(0, n_);
      parallel_for(*frame_, n_, kLong / 4, body);
    });
  }

  const Plan& plan_;
  const int64_t n_;
  ffi::CallFrame* const frame_;
  Room keys_, sorted_keys_, spare_keys_, spare_places_, places_[2];
};

// Rows that lie together, from row `begin` to `end`.
void sort_rows(const Plan& plan, RowSorter& sorter, int64_t begin, int64_t end) {
  std::vector<const char*> from(plan.count());
  std::vector<char*> to(plan.count());
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = 0; i < plan.count(); ++i) {
      const int64_t at = row * plan.shape.length * plan.widths[i];
      from[i] = plan.from[i] + at;
      to[i] = plan.to[i] + at;
    }
    sorter.sort(from, to);
  }
}

// Columns, brought together a few at a time: blocks from `begin` to `end`.
class ColumnSorter {
 public:
  explicit ColumnSorter(const Plan& plan)
      : plan_(plan), sorter_(plan), from_rooms_(plan.count()), to_rooms_(plan.count()) {
    const int64_t widest = *std::max_element(plan.widths.begin(), plan.widths.end());
    at_once_ = columns_at_once(widest, plan.shape.inner);
  }

  int64_t blocks_of_row() const { return (plan_.shape.inner + at_once_ - 1) / at_once_; }

  void sort(int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t outer = block / blocks_of_row(), column = block % blocks_of_row() * at_once_;
      const int64_t at = outer * plan_.shape.length * plan_.shape.inner + column;
      sort_block(at, std::min(at_once_, plan_.shape.inner - column));
    }
  }

 private:
  void sort_block(int64_t at, int64_t columns) {
    const int64_t n = plan_.shape.length, inner = plan_.shape.inner;
    std::vector<const char*> from(plan_.count());
    std::vector<char*> to(plan_.count());
    for (int64_t i = 0; i < plan_.count(); ++i) {
      with_width(plan_.widths[i], [&](auto type) {
        using T = decltype(type);
        const T* source = reinterpret_cast<const T*>(plan_.from[i]) + at;
        columns_to_rows(source, inner, from_rooms_[i].of<T>(n * columns), n, columns);
      });
    }
    for (int64_t column = 0; column < columns; ++column) {
      for (int64_t i = 0; i < plan_.count(); ++i) {
        const int64_t row = n * columns * plan_.widths[i], start = column * n * plan_.widths[i];
        from[i] = from_rooms_[i].of<char>(row) + start;
        to[i] = to_rooms_[i].of<char>(row) + start;
      }
      sorter_.sort(from, to);
    }
    for (int64_t i = 0; i < plan_.count(); ++i) {
      with_width(plan_.widths[i], [&](auto type) {
        using T = decltype(type);
        T* target = reinterpret_cast<T*>(plan_.to[i]) + at;
        rows_to_columns(to_rooms_[i].of<T>(n * columns), target, inner, n, columns);
      });
    }
  }

  const Plan& plan_;
  RowSorter sorter_;
  std::vector<Room> from_rooms_, to_rooms_;
  int64_t at_once_;
};

void sort(const Call& call) {
  const Plan plan = read(call);
  const Shape3& shape = plan.shape;
  if (shape.rows() == 0 || shape.length == 0) return;
  if (shape.inner > 1) {
    const int64_t blocks = shape.outer * ColumnSorter(plan).blocks_of_row();
    const int64_t grain = kGrain * blocks / (shape.rows() * shape.length) + 1;
    return parallel_for(call.frame(), blocks, grain,
                        [&](int64_t begin, int64_t end) { ColumnSorter(plan).sort(begin, end); });
  }
  if (shape.length >= kLong && shape.outer < threads_of(call.frame())) {
    RowSorter sorter(plan, &call.frame());
    return sort_rows(plan, sorter, 0, shape.outer);
  }
  parallel_for(call.frame(), shape.outer, kGrain / shape.length + 1, [&](int64_t begin, int64_t end) {
    RowSorter sorter(plan);
    sort_rows(plan, sorter, begin, end);
  });
}

}  // namespace

extern const Kernel kSortKernels[] = {kernel<sort>("anima_sort"), {nullptr, nullptr}};

}  // namespace anima::kernels
