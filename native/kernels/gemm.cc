// Products of matrices of float32 and float64, blocked for the caches.
//
// The result is made in tiles that stay in registers, of terms that lie in the nearest caches: some columns
// of the right matrix are laid out as panels, a part of the depth at a time, and serve all rows. Matrices may
// lie anyhow: each has a stride along its rows and one along its columns, and one for each dimension of a
// stack.
//
// Invariant: what an element is a sum of, and in which order, depends on the shapes alone: terms are added up
// in parts of the depth, and these parts in order, whichever thread does it.
#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/multiply.h"
#include "kernels/parallel.h"
#include "kernels/turn.h"

namespace anima::kernels {
namespace {

constexpr int64_t kDepth = 256;       // terms that are added up in registers, at most
constexpr int64_t kPanels = 1 << 18;  // bytes of panels in use, a part of the nearest cache but one
constexpr int64_t kWork = 1 << 18;    // products that are worth a thread
constexpr int64_t kFewTiles = 4;      // that are not worth laying out a panel
constexpr int64_t kNear = 4096;       // bytes between rows that are as well read where they lie
constexpr int64_t kLongSum = 1 << 13, kSlice = 1 << 12;  // terms for which a sum is divided, and of a part
constexpr int64_t kMostBatches = 8;

// Costs of an element, in steps of a vector: read from the left matrix, and laid out from the right one as it
// lies and turned.
constexpr double kReadCost = 0.05, kCopyCost = 0.3, kTurnCost = 0.8;

template <typename T>
struct View {
  const T* start;
  int64_t row, column;  // strides
};

template <typename T>
struct Matrices {
  View<T> left, right;
  T* out;
  int64_t rows, columns, depth;
};

// A part of a result: panels and tiles by number.
struct Part {
  int64_t panel, panel_end, tile, tile_end;
};

// Memory that a thread keeps for panels: taken anew for each product, it would be pages to be
// cleared.
class Scratch {
 public:
  template <typename T>
  T* take(int64_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > size_) {
      size_ = 0;
      memory_.reset();
      memory_.reset(static_cast<char*>(::operator new(bytes, kAlignment)));
      size_ = bytes;
    }
    return reinterpret_cast<T*>(memory_.get());
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Freed {
    void operator()(char* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<char, Freed> memory_;
  size_t size_ = 0;
};

thread_local Scratch scratch;

int64_t quotient_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How a result is divided into tiles, and these among threads.
template <typename T>
struct Plan {
  Plan(int64_t rows, int64_t columns, int64_t depth)
      : widest(multipliers<T>().for_columns(columns)),
        panels(quotient_up(columns, widest.columns)),
        tiles(quotient_up(rows, widest.rows)),
        pieces(quotient_up(depth, kDepth)) {}

  const typename Multipliers<T>::Width& widest;
  int64_t panels, tiles, pieces;
  int64_t groups = 1, ranges = 1;  // of panels and of tiles

  // At most `most` parts of each of a stack of products, so that threads are done soonest: parts that are
  // laid out more than once cost more, and for half of a part the threads wait for the last of them.
  void divide(int64_t stack, int64_t most, int64_t threads, double right_cost) {
    double least = 0;
    for (int64_t g = 1; g <= std::min(panels, most); ++g) {
      for (int64_t r = 1; r <= std::min(tiles, most / g); ++r) {
        const double columns = quotient_up(panels, g) * widest.columns,
                     rows = quotient_up(tiles, r) * widest.rows;
        const double part = rows * columns * (sizeof(T) / 64.0) + kReadCost * rows + right_cost * columns;
        const double cost = part * (quotient_up(stack * g * r, threads) + 0.5);
        if (least > 0 && cost >= least) continue;
        least = cost, groups = g, ranges = r;
      }
    }
  }

  Part part(int64_t i) const {
    const int64_t group = i / ranges, range = i % ranges;
    return {panels * group / groups, panels * (group + 1) / groups, tiles * range / ranges,
            tiles * (range + 1) / ranges};
  }
};

// Computes parts of one product.
template <typename T>
class Multiplication {
 public:
  Multiplication(const Matrices<T>& m, const Plan<T>& plan) : m_(m), plan_(plan) {}

  void run(const Part& part) {
    const int64_t deepest = quotient_up(m_.depth, plan_.pieces), wide = plan_.widest.columns;
    const int64_t fitting = std::max<int64_t>(kPanels / (deepest * wide * int64_t{sizeof(T)}), 1);
    panel_size_ = deepest * wide;
    const int64_t wanted = part.panel_end - part.panel;
    const int64_t steps = quotient_up(wanted, fitting);
    panels_ = scratch.take<T>(quotient_up(wanted, steps) * panel_size_);
    for (int64_t s = 0; s < steps; ++s) {
      const Part some = {part.panel + wanted * s / steps, part.panel + wanted * (s + 1) / steps, part.tile,
                         part.tile_end};
      for (int64_t piece = 0; piece < plan_.pieces; ++piece) run(some, piece);
    }
  }

 private:
  struct Panel {
    const typename Multipliers<T>::Width* kind;
    const T* start;
    int64_t step, column, width;
  };

  void run(const Part& part, int64_t piece) {
    first_ = m_.depth * piece / plan_.pieces;
    count_ = m_.depth * (piece + 1) / plan_.pieces - first_;
    adds_ = piece > 0;
    ready_.clear();
    for (int64_t p = part.panel; p < part.panel_end; ++p) {
      ready_.push_back(panel(p, panels_ + (p - part.panel) * panel_size_, part.tile_end - part.tile));
    }
    if (ready_.size() == 1) {
      const int64_t first = first_row(part.tile), rows = first_row(part.tile_end) - first,
                    height = plan_.widest.rows, whole = rows / height;
      if (whole > 0) multiply(first, height, whole);
      if (rows % height != 0) multiply(first + whole * height, rows % height, 1);
      return;
    }
    for (int64_t t = part.tile; t < part.tile_end; ++t) {
      multiply(first_row(t), first_row(t + 1) - first_row(t), 1);
    }
  }

  int64_t first_row(int64_t tile) const { return m_.rows * tile / plan_.tiles; }

  // Tiles of so many rows, one below the other.
  void multiply(int64_t from, int64_t rows, int64_t tiles) const {
    Segment<T> segment;
    segment.count = count_;
    for (int64_t i = 0; i < rows; ++i) {
      segment.a[i] = m_.left.start + (from + i) * m_.left.row + first_ * m_.left.column;
    }
    for (const Panel& panel : ready_) {
      T* out[kMostRows];
      for (int64_t i = 0; i < rows; ++i) {
        out[i] = m_.out + (from + i) * m_.columns + panel.column;
      }
      segment.b = panel.start;
      panel.kind->multiply[rows]({&segment, 1, m_.left.column, panel.step, out, panel.width, adds_, tiles,
                                  rows * m_.left.row, rows * m_.columns});
    }
  }

  // A panel of the right matrix, laid out in `to` or where it lies.
  Panel panel(int64_t number, T* to, int64_t tiles) const {
    const int64_t column = number * plan_.widest.columns;
    const int64_t width = std::min(m_.columns - column, plan_.widest.columns);
    const auto& kind = multipliers<T>().for_columns(width);
    const View<T>& right = m_.right;
    const T* from = right.start + first_ * right.row + column * right.column;
    const bool straight = right.column == 1;
    if (straight && width == kind.columns &&
        (tiles <= kFewTiles || right.row * int64_t{sizeof(T)} <= kNear)) {
      return {&kind, from, right.row, column, width};
    }
    if (straight) {
      for (int64_t k = 0; k < count_; ++k)
        copy_row(from + k * right.row, width, to + k * kind.columns, kind.columns);
    } else if (right.row == 1) {
      turn(from, right.column, to, kind.columns, width, count_);
      for (int64_t k = 0; k < count_ && width < kind.columns; ++k)
        std::fill(to + k * kind.columns + width, to + (k + 1) * kind.columns, T(0));
    } else {
      for (int64_t k = 0; k < count_; ++k) {
        for (int64_t j = 0; j < kind.columns; ++j)
          to[k * kind.columns + j] = j < width ? from[k * right.row + j * right.column] : T(0);
      }
    }
    return {&kind, to, kind.columns, column, width};
  }

  static void copy_row(const T* from, int64_t width, T* to, int64_t wide) {
    if (width == wide && wide * sizeof(T) == 256) {
      std::memcpy(to, from, 256);
    } else {
      std::copy(from, from + width, to);
      std::fill(to + width, to + wide, T(0));
    }
  }

  const Matrices<T> m_;
  const Plan<T>& plan_;
  T* panels_ = nullptr;
  int64_t panel_size_ = 0, first_ = 0, count_ = 0;
  bool adds_ = false;
  std::vector<Panel> ready_;
};

// A stack of products.
template <typename T>
struct Stack {
  Matrices<T> first;
  int64_t rank = 0;
  int64_t sizes[kMostBatches], left[kMostBatches], right[kMostBatches];

  int64_t count() const {
    int64_t n = 1;
    for (int64_t i = 0; i < rank; ++i) n *= sizes[i];
    return n;
  }

  Matrices<T> at(int64_t number) const {
    Matrices<T> m = first;
    m.out += number * m.rows * m.columns;
    for (int64_t i = rank - 1; i >= 0; --i) {
      const int64_t index = number % sizes[i];
      number /= sizes[i];
      m.left.start += index * left[i], m.right.start += index * right[i];
    }
    return m;
  }
};

template <typename T>
void multiply(ffi::CallFrame& frame, const Stack<T>& stack) {
  const Matrices<T>& first = stack.first;
  Plan<T> plan(first.rows, first.columns, first.depth);
  const int64_t products = first.rows * first.columns * first.depth, count = stack.count();
  const int64_t worth = products * count / kWork + 1, threads = worth < 2 ? 1 : threads_of(frame);
  plan.divide(count, quotient_up(std::min(4 * threads, worth), count), threads,
              first.right.column == 1 ? kCopyCost : kTurnCost);
  const int64_t parts = plan.groups * plan.ranges;
  parallel_for(frame, count * parts, kWork / (products / parts + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Multiplication<T>(stack.at(i / parts), plan).run(plan.part(i % parts));
    }
  });
}

// A small result of long sums: slices of them are a stack of products, which is added up.
template <typename T>
void multiply_slices(ffi::CallFrame& frame, const Matrices<T>& m) {
  const int64_t slices = m.depth / kSlice, size = m.rows * m.columns;
  std::vector<T> parts(slices * size);
  const auto slice = [&](int64_t i) {
    Matrices<T> part = m;
    const int64_t from = m.depth * i / slices;
    part.left.start += from * m.left.column, part.right.start += from * m.right.row;
    part.depth = m.depth * (i + 1) / slices - from;
    part.out = parts.data() + i * size;
    return part;
  };
  parallel_for(frame, slices, kWork / (size * kSlice) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Plan<T> plan(m.rows, m.columns, slice(i).depth);
      Multiplication<T>(slice(i), plan).run(plan.part(0));
    }
  });
  std::copy(parts.begin(), parts.begin() + size, m.out);
  for (int64_t i = 1; i < slices; ++i) {
    for (int64_t j = 0; j < size; ++j) m.out[j] += parts[i * size + j];
  }
}

// Throws where so many steps lead out of a buffer, and adds them to `reach`, the furthest element so far.
void extend(int64_t& reach, int64_t count, int64_t step, int64_t size) {
  if (count == 1) return;
  if (step < 1 || count - 1 > (size - 1 - reach) / step) {
    throw KernelError("a product of matrices was called with strides that lead out of an operand");
  }
  reach += (count - 1) * step;
}

template <typename T>
void read_and_multiply(const Call& call) {
  Stack<T> stack;
  Matrices<T>& m = stack.first;
  m.rows = call.integer("rows"), m.columns = call.integer("columns"), m.depth = call.integer("depth");
  m.left = {data<T>(call.operand(0)), call.integer("left_row"), call.integer("left_column")};
  m.right = {data<T>(call.operand(1)), call.integer("right_row"), call.integer("right_column")};
  m.out = data<T>(call.result(0));
  stack.rank = call.integer("batches");
  if (stack.rank < 0 || stack.rank > kMostBatches) {
    throw KernelError("a product of matrices was called with too many dimensions of a stack");
  }
  for (int64_t i = 0; i < stack.rank; ++i) {
    const std::string number = std::to_string(i);
    stack.sizes[i] = call.integer(("size" + number).c_str());
    stack.left[i] = call.integer(("left" + number).c_str());
    stack.right[i] = call.integer(("right" + number).c_str());
  }
  // The result is as large as the sizes say.
  int64_t size = size_of(call.result(0));
  if (size == 0) return;
  const auto divide = [&size](int64_t n) {
    if (n < 1 || size % n != 0)
      throw KernelError("a product of matrices was called for a result of another size");
    size /= n;
  };
  divide(m.rows), divide(m.columns);
  for (int64_t i = 0; i < stack.rank; ++i) divide(stack.sizes[i]);
  if (size != 1) throw KernelError("a product of matrices was called for a result of another size");
  if (m.depth < 1) {
    if (m.depth < 0) throw KernelError("a product of matrices was called with a negative depth");
    std::fill(m.out, m.out + size_of(call.result(0)), T(0));
    return;
  }
  const int64_t left_size = size_of(call.operand(0)), right_size = size_of(call.operand(1));
  int64_t left = 0, right = 0;
  if (left_size == 0 || right_size == 0)
    throw KernelError("a product of matrices was called without operands");
  extend(left, m.rows, m.left.row, left_size), extend(left, m.depth, m.left.column, left_size);
  extend(right, m.depth, m.right.row, right_size), extend(right, m.columns, m.right.column, right_size);
  for (int64_t i = 0; i < stack.rank; ++i) {
    extend(left, stack.sizes[i], stack.left[i], left_size);
    extend(right, stack.sizes[i], stack.right[i], right_size);
  }
  const Plan<T> plan(m.rows, m.columns, m.depth);
  if (stack.count() == 1 && m.depth >= kLongSum && plan.tiles * plan.panels < 16) {
    return multiply_slices(call.frame(), m);
  }
  multiply(call.frame(), stack);
}

// Operands: two arrays in which matrices [rows, depth] and [depth, columns] lie by strides, for each index of
// up to 8 dimensions of a stack. Result: [..., rows, columns].
void matrix_product(const Call& call) {
  call.expect(2, 1);
  if (call.result(0).type == ffi::DataType::kF64) return read_and_multiply<double>(call);
  read_and_multiply<float>(call);
}

}  // namespace

extern const Kernel kMatrixProductKernels[] = {kernel<matrix_product>("anima_matrix_product"),
                                               {nullptr, nullptr}};

}  // namespace anima::kernels
