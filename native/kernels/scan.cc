// Recurrences along one dimension.
#include <algorithm>

#include "kernels/kernel.h"
#include "kernels/parallel.h"

namespace anima::kernels {
namespace {

// An array seen as rows of `length` steps of `inner` numbers side by side.
struct Rows {
  int64_t outer = 1, length = 1, inner = 1;
};

Rows rows_along(const ffi::Buffer& buffer, int64_t axis) {
  Rows rows;
  rows.length = dimension(buffer, axis);
  for (int64_t i = 0; i < axis; ++i) rows.outer *= buffer.dims[i];
  for (int64_t i = axis + 1; i < buffer.rank; ++i) rows.inner *= buffer.dims[i];
  return rows;
}

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread

// h[i] = a[i] * h[i - 1] + b[i] for some columns of a row.
template <typename T>
void recur(const T* a, const T* b, T* h, const Rows& rows, int64_t columns, bool reverse) {
  const int64_t step = reverse ? -rows.inner : rows.inner;
  const int64_t start = reverse ? (rows.length - 1) * rows.inner : 0;
  std::copy(b + start, b + start + columns, h + start);
  for (int64_t i = 1, at = start + step; i < rows.length; ++i, at += step) {
    for (int64_t j = at; j < at + columns; ++j) h[j] = a[j] * h[j - step] + b[j];
  }
}

template <typename T>
void recurrence(const Call& call, const Rows& rows, bool reverse) {
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
  const Rows rows = rows_along(call.operand(0), call.integer("axis"));
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

}  // namespace

extern const Kernel kScanKernels[] = {kernel<linear_recurrence>("anima_linear_recurrence"),
                                      {nullptr, nullptr}};

}  // namespace anima::kernels
