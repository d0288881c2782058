// Cholesky factors.
#include <algorithm>
#include <cmath>
#include <vector>

#include "linalg/matrices.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, int*, T*, int*, int*)> potrf{routine<T>("potrf")};

// The lower factor of a matrix of which the lower triangle counts; zeros above it.
template <typename T>
void factor(const T* a, T* l, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    std::copy(a + i * n, a + i * n + i + 1, l + i * n);
    std::fill(l + i * n + i + 1, l + (i + 1) * n, T(0));
  }
  int info = 0;
  // What LAPACK sees is the transpose, conj(a) = u^H u with u the transpose of what we want.
  potrf<T>('U', to_int(n), l, to_int(n), &info);
  expect_accepted(info, "potrf");
  for (int64_t i = 0; info > 0 && i < n; ++i) fill_nan(l + i * n, i + 1);
}

// The upper factor of r^T r + w w^T in place; `w` is used up. One rotation a row turns the first element of
// `w` that is left into the row's diagonal, and never reads below it.
template <typename T>
void update(T* r, T* w, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T* row = r + i * n;
    const T length = std::copysign(std::hypot(row[i], w[i]), row[i]);
    if (length == 0) continue;
    const T c = row[i] / length, s = w[i] / length;
    for (int64_t j = i; j < n; ++j) {
      const T turned = c * row[j] + s * w[j];
      w[j] = c * w[j] - s * row[j];
      row[j] = turned;
    }
  }
}

template <typename T>
void update_all(const Call& call, const Stack& stack) {
  const T *from = data<T>(call.operand(0)), *vectors = data<T>(call.operand(1));
  T* to = data<T>(call.result(0));
  const int64_t n = stack.rows;
  for_matrices(call, stack.count, 2.0 * n * n, [&](int64_t i) {
    std::copy(from + i * n * n, from + (i + 1) * n * n, to + i * n * n);
    std::vector<T> w(vectors + i * n, vectors + (i + 1) * n);
    update(to + i * n * n, w.data(), n);
  });
}

void cholesky_update(const Call& call) {
  call.expect(2, 1);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = stack_of(call.operand(0));
  expect_square(stack);
  expect_stack(vectors_of(call.operand(1)), stack.count, 1, stack.columns);
  if (stack.empty()) return;
  if (call.operand(0).type == ffi::DataType::kF32) return update_all<float>(call, stack);
  if (call.operand(0).type == ffi::DataType::kF64) return update_all<double>(call, stack);
  throw KernelError("a kernel for real numbers was called with others");
}

void cholesky(const Call& call) {
  call.expect(1, 1);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = stack_of(call.operand(0));
  expect_square(stack);
  if (stack.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* a = data<T>(call.operand(0));
    T* l = data<T>(call.result(0));
    const int64_t n = stack.rows;
    for_matrices(call, stack.count, n * n * n / 3.0,
                 [&](int64_t i) { factor(a + i * n * n, l + i * n * n, n); });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kCholeskyKernels[] = {kernel<linalg::cholesky>("anima_cholesky"), kernel<linalg::cholesky_update>("anima_cholesky_update"), {nullptr, nullptr}};
}
