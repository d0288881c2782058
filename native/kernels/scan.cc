// Running reductions and recurrences along one dimension.
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/rows.h"
#include "kernels/running.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread

// h[i] = a[i] * h[i - 1] + b[i] for some columns of a row.
template <typename T>
void recur(const T* a, const T* b, T* h, const Shape3& rows, int64_t columns, bool reverse) {
  const int64_t step = reverse ? -rows.inner : rows.inner;
  const int64_t start = reverse ? (rows.length - 1) * rows.inner : 0;
  std::copy(b + start, b + start + columns, h + start);
  for (int64_t i = 1, at = start + step; i < rows.length; ++i, at += step) {
    for (int64_t j = at; j < at + columns; ++j) h[j] = a[j] * h[j - step] + b[j];
  }
}

template <typename T>
void recurrence(const Call& call, const Shape3& rows, bool reverse) {
  const T *a = data<T>(call.operand(0)), *b = data<T>(call.operand(1));
  T* h = data<T>(call.result(0));
  // Columns go together in blocks, so that a step reads memory that lies together.
  const int64_t block = std::min<int64_t>(rows.inner, 512);
  const int64_t blocks = (rows.inner + block - 1) / block;
  const int64_t grain = kGrain / (rows.length * block) + 1;
  parallel_for(call.frame(), rows.outer * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t column = i % blocks * block;
      const int64_t at = i / blocks * rows.length * rows.inner + column;
      recur(a + at, b + at, h + at, rows, std::min(block, rows.inner - column), reverse);
    }
  });
}

void linear_recurrence(const Call& call) {
  call.expect(2, 1);
  expect_same_shape(call.operand(0), call.operand(1));
  expect_same_shape(call.operand(0), call.result(0));
  const Shape3 rows = shape_along(call.operand(0), call.integer("axis"));
  const bool reverse = call.flag("reverse");
  if (size_of(call.operand(0)) == 0) return;
  switch (call.operand(0).type) {
    case ffi::DataType::kF32:
      return recurrence<float>(call, rows, reverse);
    case ffi::DataType::kF64:
      return recurrence<double>(call, rows, reverse);
    case ffi::DataType::kC64:
      return recurrence<std::complex<float>>(call, rows, reverse);
    case ffi::DataType::kC128:
      return recurrence<std::complex<double>>(call, rows, reverse);
    default:
      throw KernelError("linear_recurrence: unexpected element type");
  }
}

// --- running reductions ---

// Rows cut into chunks along their length. Where a row has several columns they run side by side, in blocks;
// where it has one, four chunks or four rows do, for otherwise each addition would wait for the one before.
struct Cuts {
  Shape3 rows;
  bool reverse;
  int64_t chunks, span;  // `chunks` is 1 or a multiple of `kLanes`

  int64_t start(int64_t row, int64_t chunk) const {
    const int64_t first = chunk * span;
    return (row * rows.length + (reverse ? rows.length - 1 - first : first)) * rows.inner;
  }
  int64_t length(int64_t chunk) const { return std::clamp<int64_t>(rows.length - chunk * span, 0, span); }
  int64_t step() const { return reverse ? -rows.inner : rows.inner; }
};

constexpr int64_t kLanes = 4, kBlock = 256, kFew = 8, kSkipping = 64;
constexpr int64_t kSpan = 1 << 12;  // elements of a chunk

// The number of chunks follows from the shape alone: a result must not depend on the number of threads.
Cuts cut(const Shape3& rows, bool reverse, bool joins) {
  const int64_t lines = rows.outer * ((rows.inner + kBlock - 1) / kBlock);
  if (!joins || lines >= 32 || rows.length < 2 * kSpan) return {rows, reverse, 1, rows.length};
  const int64_t groups = (rows.length + kLanes * kSpan - 1) / (kLanes * kSpan), chunks = groups * kLanes;
  return {rows, reverse, chunks, (rows.length + chunks - 1) / chunks};
}

// Columns that lie together.
template <typename Op, bool kWrite>
ANIMA_CLONES void run_columns(const typename Op::T* __restrict x, typename Op::T* __restrict y,
                              int64_t length, int64_t step, int64_t columns, Op* __restrict state) {
  for (int64_t i = 0, at = 0; i < length; ++i, at += step) {
    for (int64_t j = 0; j < columns; ++j) {
      state[j].add(x[at + j]);
      if (kWrite) y[at + j] = state[j].value();
    }
  }
}

// A sequence.
template <typename Op, bool kWrite>
ANIMA_CLONES void run_one(const typename Op::T* __restrict x, typename Op::T* __restrict y, int64_t length,
                          int64_t step, Op* state) {
  Op op = *state;
  for (int64_t i = 0, at = 0; i < length; ++i, at += step) {
    op.add(x[at]);
    if (kWrite) y[at] = op.value();
  }
  *state = op;
}

// `kLanes` sequences of equal lengths, `apart` from each other. Each state has a name, or it would not stay
// in registers.
template <typename Op, bool kWrite>
ANIMA_CLONES void run_lanes(const typename Op::T* __restrict x, typename Op::T* __restrict y, int64_t length,
                            int64_t step, int64_t apart, Op* state) {
  Op a = state[0], b = state[1], c = state[2], d = state[3];
  for (int64_t i = 0, at = 0; i < length; ++i, at += step) {
    a.add(x[at]), b.add(x[at + apart]), c.add(x[at + 2 * apart]), d.add(x[at + 3 * apart]);
    if (kWrite) {
      y[at] = a.value(), y[at + apart] = b.value();
      y[at + 2 * apart] = c.value(), y[at + 3 * apart] = d.value();
    }
  }
  state[0] = a, state[1] = b, state[2] = c, state[3] = d;
}

// A sequence of an operation that most elements leave as it is: where all of a block do, they are only looked
// at.
template <typename Op, bool kWrite>
ANIMA_CLONES void run_skipping(const typename Op::T* __restrict x, typename Op::T* __restrict y,
                               int64_t length, int64_t step, Op* state) {
  Op op = *state;
  for (int64_t i = 0; i < length; i += kSkipping) {
    const int64_t count = std::min(kSkipping, length - i), at = i * step;
    const int64_t low = step < 0 ? at - count + 1 : at;
    Op block;
    for (int64_t j = low; j < low + count; ++j) block.add(x[j]);
    Op next = op;
    next.join(block);
    if (!kWrite || next == op) {
      if (kWrite) std::fill(y + low, y + low + count, op.value());
    } else {
      for (int64_t j = 0; j < count; ++j) {
        op.add(x[at + j * step]);
        y[at + j * step] = op.value();
      }
    }
    op = next;
  }
  *state = op;
}

// The products of eight numbers so far, and those times `before`, which becomes the last of them. No product
// of eight single-precision numbers is too large or too small for double precision, so that it does not
// matter in which order they are multiplied.
typedef double FourDoubles __attribute__((vector_size(32)));
typedef float FourFloats __attribute__((vector_size(16)));

ANIMA_INLINE void multiply_up(FourDoubles& x) {
  const FourDoubles ones = {1, 1, 1, 1};
  x *= __builtin_shufflevector(x, ones, 4, 0, 4, 2);
  x *= __builtin_shufflevector(x, ones, 4, 4, 1, 1);
}

template <bool kBackwards>
ANIMA_INLINE void multiply_eight(const float* x, float* y, FourDoubles& before) {
  FourFloats floats[2];
  std::memcpy(floats, x, sizeof floats);
  FourDoubles first = __builtin_convertvector(floats[kBackwards ? 1 : 0], FourDoubles);
  FourDoubles second = __builtin_convertvector(floats[kBackwards ? 0 : 1], FourDoubles);
  if (kBackwards) {
    first = __builtin_shufflevector(first, first, 3, 2, 1, 0);
    second = __builtin_shufflevector(second, second, 3, 2, 1, 0);
  }
  multiply_up(first), multiply_up(second);
  second *= __builtin_shufflevector(first, first, 3, 3, 3, 3);
  first *= before;
  const FourDoubles results = second * before;
  before *= __builtin_shufflevector(second, second, 3, 3, 3, 3);
  second = results;
  if (kBackwards) {
    first = __builtin_shufflevector(first, first, 3, 2, 1, 0);
    second = __builtin_shufflevector(second, second, 3, 2, 1, 0);
  }
  floats[kBackwards ? 1 : 0] = __builtin_convertvector(first, FourFloats);
  floats[kBackwards ? 0 : 1] = __builtin_convertvector(second, FourFloats);
  std::memcpy(y, floats, sizeof floats);
}

// A sequence of products, of which one would wait for the other.
template <bool kBackwards>
ANIMA_CLONES void run_products(const float* __restrict x, float* __restrict y, int64_t length,
                               Product<float>* state) {
  constexpr int64_t kStep = kBackwards ? -1 : 1, kLow = kBackwards ? -7 : 0;
  const double start = state->product;
  FourDoubles before = {start, start, start, start};
  int64_t i = 0;
  for (; i + 8 <= length; i += 8) {
    multiply_eight<kBackwards>(x + i * kStep + kLow, y + i * kStep + kLow, before);
  }
  Product<float> rest{before[0]};
  for (; i < length; ++i) {
    rest.add(x[i * kStep]);
    y[i * kStep] = rest.value();
  }
  *state = rest;
}

// A few columns that lie together, in which loops over columns would be too short to be vectors.
template <typename Op, bool kWrite>
void run_few_columns(const typename Op::T* x, typename Op::T* y, int64_t length, int64_t step,
                     int64_t columns, Op* state) {
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) run_lanes<Op, kWrite>(x + j, y + j, length, step, 1, state + j);
  for (; j < columns; ++j) run_one<Op, kWrite>(x + j, y + j, length, step, state + j);
}

// Runs through all chunks from their states: to write the results, or only to see them to the end. Without
// states each begins anew.
template <typename Op, bool kWrite>
void run_chunks(ffi::CallFrame& frame, const typename Op::T* x, typename Op::T* y, const Cuts& cuts,
                Op* states) {
  const Shape3& rows = cuts.rows;
  if (rows.inner > 1) {
    const int64_t blocks = (rows.inner + kBlock - 1) / kBlock;
    const int64_t block = (rows.inner + blocks - 1) / blocks;
    const int64_t grain = kGrain / (cuts.span * block) + 1;
    return parallel_for(frame, rows.outer * cuts.chunks * blocks, grain, [&](int64_t begin, int64_t end) {
      std::vector<Op> anew(states == nullptr ? block : 0);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t sequence = i / blocks, column = i % blocks * block;
        const int64_t row = sequence / cuts.chunks, chunk = sequence % cuts.chunks;
        const int64_t columns = std::min(block, rows.inner - column), length = cuts.length(chunk);
        if (columns <= 0 || length == 0) continue;
        const int64_t at = cuts.start(row, chunk) + column;
        Op* state = states == nullptr ? anew.data() : states + sequence * rows.inner + column;
        if (states == nullptr) std::fill_n(state, columns, Op());
        const auto run = columns < kFew ? run_few_columns<Op, kWrite> : run_columns<Op, kWrite>;
        run(x + at, y + at, length, cuts.step(), columns, state);
      }
    });
  }
  const int64_t sequences = rows.outer * cuts.chunks;
  const int64_t grain = kGrain / (cuts.span * kLanes) + 1;
  parallel_for(frame, (sequences + kLanes - 1) / kLanes, grain, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kLanes; first < std::min(end * kLanes, sequences); first += kLanes) {
      Op anew[kLanes];
      Op* state = states != nullptr ? states + first : anew;
      const int64_t row = first / cuts.chunks, chunk = first % cuts.chunks, at = cuts.start(row, chunk);
      const bool rows_side_by_side = cuts.chunks == 1;
      const int64_t apart = rows_side_by_side ? rows.length : cuts.start(row, chunk + 1) - at;
      const auto length = [&](int64_t lane) { return cuts.length(rows_side_by_side ? 0 : chunk + lane); };
      const int64_t count = std::min(kLanes, sequences - first);
      const bool skips = Op::kSkips && length(0) >= kSkipping;
      if (!skips && count == kLanes && length(kLanes - 1) == length(0)) {
        run_lanes<Op, kWrite>(x + at, y + at, length(0), cuts.step(), apart, state);
        continue;
      }
      for (int64_t j = 0; j < count; ++j) {
        const int64_t from = at + j * apart;
        if constexpr (Op::kSkips) {
          run_skipping<Op, kWrite>(x + from, y + from, length(j), cuts.step(), state + j);
        } else if constexpr (std::is_same_v<Op, Product<float>>) {
          (cuts.reverse ? run_products<true> : run_products<false>)(x + from, y + from, length(j), state + j);
        } else {
          run_one<Op, kWrite>(x + from, y + from, length(j), cuts.step(), state + j);
        }
      }
    }
  });
}

template <typename Op>
void run(const Call& call) {
  using T = typename Op::T;
  const auto* x = static_cast<const T*>(call.operand(0).data);
  auto* y = static_cast<T*>(call.result(0).data);
  Shape3 rows = shape_along(call.operand(0), call.integer("axis"));
  // The parts of a complex number are two columns, which only sums get here as.
  if (call.operand(0).type == ffi::DataType::kC64 && sizeof(T) == 4) rows.inner *= 2;
  if (call.operand(0).type == ffi::DataType::kC128) rows.inner *= 2;
  const Cuts cuts = cut(rows, call.flag("reverse"), Op::kJoins);
  if constexpr (Op::kJoins) {
    if (cuts.chunks > 1) {
      std::vector<Op> states(rows.outer * cuts.chunks * rows.inner);
      run_chunks<Op, false>(call.frame(), x, y, cuts, states.data());
      for (int64_t row = 0; row < rows.outer; ++row) {
        for (int64_t column = 0; column < rows.inner; ++column) {
          Op before;
          for (int64_t chunk = 0; chunk < cuts.chunks; ++chunk) {
            Op& state = states[(row * cuts.chunks + chunk) * rows.inner + column];
            std::swap(before, state);
            Op joined = state;
            joined.join(before);
            before = joined;
          }
        }
      }
      return run_chunks<Op, true>(call.frame(), x, y, cuts, states.data());
    }
  }
  run_chunks<Op, true>(call.frame(), x, y, cuts, static_cast<Op*>(nullptr));
}

// Whether there is anything to do, having checked that the call is one of a running reduction.
bool has_elements(const Call& call) {
  call.expect(1, 1);
  expect_same_shape(call.operand(0), call.result(0));
  if (call.operand(0).type != call.result(0).type) {
    throw KernelError("a running reduction was called for a result of another element type");
  }
  call.flag("reverse");
  dimension(call.operand(0), call.integer("axis"));
  return size_of(call.operand(0)) != 0;
}

[[noreturn]] void unexpected_type() {
  throw KernelError("a running reduction was called with an unexpected element type");
}

// Runs `Op` on real numbers; on integers without their sign where it `kWraps` around, as sums and products
// do.
template <template <typename> class Op, bool kWraps>
void run_real(const Call& call) {
  using std::conditional_t;
  switch (call.operand(0).type) {
    case ffi::DataType::kS8:
      return run<Op<conditional_t<kWraps, uint8_t, int8_t>>>(call);
    case ffi::DataType::kS16:
      return run<Op<conditional_t<kWraps, uint16_t, int16_t>>>(call);
    case ffi::DataType::kS32:
      return run<Op<conditional_t<kWraps, uint32_t, int32_t>>>(call);
    case ffi::DataType::kS64:
      return run<Op<conditional_t<kWraps, uint64_t, int64_t>>>(call);
    case ffi::DataType::kU8:
      return run<Op<uint8_t>>(call);
    case ffi::DataType::kU16:
      return run<Op<uint16_t>>(call);
    case ffi::DataType::kU32:
      return run<Op<uint32_t>>(call);
    case ffi::DataType::kU64:
      return run<Op<uint64_t>>(call);
    case ffi::DataType::kF32:
      return run<Op<float>>(call);
    case ffi::DataType::kF64:
      return run<Op<double>>(call);
    default:
      unexpected_type();
  }
}

void cumsum(const Call& call) {
  if (!has_elements(call)) return;
  switch (call.operand(0).type) {
    case ffi::DataType::kC64:
      return run<Sum<float>>(call);
    case ffi::DataType::kC128:
      return run<Sum<double>>(call);
    default:
      return run_real<Sum, true>(call);
  }
}

void cumprod(const Call& call) {
  if (!has_elements(call)) return;
  if (call.operand(0).type == ffi::DataType::kC64) return run<Product<std::complex<float>>>(call);
  run_real<Product, true>(call);
}

template <template <typename> class Op>
void extremum(const Call& call) {
  if (has_elements(call)) run_real<Op, false>(call);
}

void cumlogsumexp(const Call& call) {
  if (!has_elements(call)) return;
  switch (call.operand(0).type) {
    case ffi::DataType::kF32:
      return run<LogSumExp<float>>(call);
    case ffi::DataType::kF64:
      return run<LogSumExp<double>>(call);
    default:
      unexpected_type();
  }
}

}  // namespace

extern const Kernel kScanKernels[] = {kernel<linear_recurrence>("anima_linear_recurrence"),
                                      kernel<cumsum>("anima_cumsum"),
                                      kernel<cumprod>("anima_cumprod"),
                                      kernel<extremum<Maximum>>("anima_cummax"),
                                      kernel<extremum<Minimum>>("anima_cummin"),
                                      kernel<cumlogsumexp>("anima_cumlogsumexp"),
                                      {nullptr, nullptr}};

}  // namespace anima::kernels
