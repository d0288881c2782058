// Rows added to rows of an array, at places that may coincide.
//
// Each thread has some columns to itself. So every row gets its updates one after the other as they come,
// whatever the number of threads and wherever the updates go, and each thread reads only what it adds.
#include <algorithm>
#include <cstring>

#include "kernels/clones.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;         // elements that are worth a thread
constexpr int64_t kPiece = 256;             // elements that are copied at once
constexpr int64_t kPieceBytes = 128;        // of a row; processors fetch two lines of 64 together
constexpr int64_t kAtOnce = 1024;           // places that are looked at before anything is added
constexpr uint32_t kNowhere = 0xffffffffu;  // the row of an update that is left out

struct Shape {
  int64_t rows, width, updates, depth;  // `depth` indices say where a row is
  const int64_t* limits;                // of the indices
  bool clamp;  // whether rows that are out of bounds are moved into them, or left out
};

Shape shape_of(const Call& call) {
  const ffi::Buffer &x = call.operand(0), &starts = call.operand(1), &updates = call.operand(2);
  if (starts.rank != 2 || starts.dims[1] < 1 || starts.dims[1] > x.rank ||
      updates.rank != x.rank - starts.dims[1] + 1 || updates.dims[0] != starts.dims[0]) {
    throw KernelError("a scatter was called with places or updates of another shape");
  }
  Shape shape{1, 1, starts.dims[0], starts.dims[1], x.dims, call.flag("clamp")};
  for (int64_t d = 0; d < shape.depth; ++d) shape.rows *= x.dims[d];
  for (int64_t d = shape.depth; d < x.rank; ++d) {
    if (updates.dims[d - shape.depth + 1] != x.dims[d]) {
      throw KernelError("a scatter was called with updates of another shape");
    }
    shape.width *= x.dims[d];
  }
  if (shape.rows >= kNowhere || shape.updates >= kNowhere) {
    throw KernelError("a scatter was called for too many rows");
  }
  return shape;
}

template <typename Index>
ANIMA_INLINE uint32_t row_at(const Index* index, const Shape& shape) {
  int64_t row = 0;
  for (int64_t d = 0; d < shape.depth; ++d) {
    int64_t at = index[d];
    if (shape.clamp) at = std::clamp<int64_t>(at, 0, shape.limits[d] - 1);
    if (at < 0 || at >= shape.limits[d]) return kNowhere;
    row = row * shape.limits[d] + at;
  }
  return static_cast<uint32_t>(row);
}

// The rows that updates from `begin` on go to.
template <typename Index>
ANIMA_INLINE void find_rows(const Index* starts, const Shape& shape, int64_t begin, int64_t end,
                            uint32_t* rows) {
  if (shape.depth != 1 || shape.clamp) {
    for (int64_t i = begin; i < end; ++i) rows[i - begin] = row_at(starts + i * shape.depth, shape);
    return;
  }
  const auto limit = static_cast<uint64_t>(shape.limits[0]);
  for (int64_t i = begin; i < end; ++i) {
    const auto at = static_cast<uint64_t>(static_cast<int64_t>(starts[i]));
    rows[i - begin] = at < limit ? static_cast<uint32_t>(at) : kNowhere;
  }
}

// Adds `columns` columns of the updates.
template <typename T, typename Index>
ANIMA_CLONES void add_columns(T* __restrict y, const T* __restrict updates, const Index* starts,
                              const Shape& shape, int64_t columns) {
  constexpr int64_t kAhead = 32, kLine = 64 / sizeof(T);
  uint32_t rows[kAtOnce];
  const int64_t width = shape.width, fetched = std::min(columns, 4 * kLine);
  for (int64_t begin = 0; begin < shape.updates; begin += kAtOnce) {
    const int64_t count = std::min(shape.updates - begin, kAtOnce);
    find_rows(starts, shape, begin, begin + count, rows);
    for (int64_t k = 0; k < count; ++k) {
      if (k + kAhead < count) {
        const T* later = updates + (begin + k + kAhead) * width;
        for (int64_t j = 0; j < fetched; j += kLine) __builtin_prefetch(later + j);
        if (rows[k + kAhead] != kNowhere) {
          later = y + rows[k + kAhead] * width;
          for (int64_t j = 0; j < fetched; j += kLine) __builtin_prefetch(later + j, 1);
        }
      }
      if (rows[k] == kNowhere) continue;
      T* to = y + rows[k] * width;
      const T* from = updates + (begin + k) * width;
      for (int64_t j = 0; j < columns; ++j) to[j] += from[j];
    }
  }
}

template <typename T>
void add(const Call& call, Shape shape, int64_t components) {
  shape.width *= components;
  const auto* x = static_cast<const T*>(call.operand(0).data);
  const auto* updates = static_cast<const T*>(call.operand(2).data);
  auto* y = static_cast<T*>(call.result(0).data);
  const ffi::Buffer& starts = call.operand(1);
  const bool wide = starts.type == ffi::DataType::kS64;
  if (!wide) data<int32_t>(starts);
  const int64_t width = shape.width;
  if (x != y) {
    parallel_for(call.frame(), shape.rows * width, kGrain, [&](int64_t begin, int64_t end) {
      // Short pieces go through registers, and longer ones by an instruction that is slower.
      for (int64_t i = begin; i < end; i += kPiece) std::copy_n(x + i, std::min(kPiece, end - i), y + i);
    });
  }
  // The places are looked at for each piece, so there are as few of them as there are threads.
  constexpr int64_t kLeast = kPieceBytes / sizeof(T);
  const int64_t most = std::min({threads_of(call.frame()), width / kLeast, shape.updates * width / kGrain});
  const int64_t pieces = std::max<int64_t>(most, 1), lines = (width + kLeast - 1) / kLeast;
  parallel_for(call.frame(), pieces, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = lines * begin / pieces * kLeast,
                  last = std::min(width, lines * end / pieces * kLeast);
    if (wide) {
      add_columns(y + first, updates + first, static_cast<const int64_t*>(starts.data), shape, last - first);
    } else {
      add_columns(y + first, updates + first, static_cast<const int32_t*>(starts.data), shape, last - first);
    }
  });
}

// Operands: an array, the places of rows in its first dimensions [n, k], and what is added there [n, ...].
void scatter_add(const Call& call) {
  call.expect(3, 1);
  const ffi::Buffer& x = call.operand(0);
  expect_same_shape(x, call.result(0));
  if (x.type != call.result(0).type || x.type != call.operand(2).type) {
    throw KernelError("a scatter was called with arrays of different element types");
  }
  const Shape shape = shape_of(call);
  if (size_of(x) == 0) return;
  switch (x.type) {
    case ffi::DataType::kF32:
      return add<float>(call, shape, 1);
    case ffi::DataType::kF64:
      return add<double>(call, shape, 1);
    case ffi::DataType::kC64:
      return add<float>(call, shape, 2);
    case ffi::DataType::kC128:
      return add<double>(call, shape, 2);
    case ffi::DataType::kS32:
    case ffi::DataType::kU32:
      return add<uint32_t>(call, shape, 1);
    case ffi::DataType::kS64:
    case ffi::DataType::kU64:
      return add<uint64_t>(call, shape, 1);
    default:
      throw KernelError("a scatter was called with an unexpected element type");
  }
}

}  // namespace

extern const Kernel kScatterKernels[] = {kernel<scatter_add>("anima_scatter_add"), {nullptr, nullptr}};

}  // namespace anima::kernels
