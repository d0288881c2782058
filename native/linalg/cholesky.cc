// Cholesky factors.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "linalg/blocks.h"
#include "linalg/matrices.h"

namespace anima::linalg {
namespace {

// The upper factor u of a = u^H u in place, column by column; false if a pivot is not positive.
template <typename T>
bool factor_small(T* a, int64_t stride, int n) {
  for (int j = 0; j < n; ++j) {
    T* column = a + j * stride;
    RealOf<T> sum = std::real(column[j]);
    for (int i = 0; i < j; ++i) {
      const T* other = a + i * stride;
      T rest = column[i];
      for (int k = 0; k < i; ++k) rest -= conjugate(other[k]) * column[k];
      column[i] = rest / other[i];
      sum -= std::norm(column[i]);
    }
    if (sum <= 0) return false;  // NaN goes on to the factor
    column[j] = std::sqrt(sum);
  }
  return true;
}

// c = c - b^H b for `rows` rows of b; of c, n by n, on and above the diagonal, and at some places below it.
template <typename T>
void update_square(const T* b, int64_t stride, int rows, int n, T* c) {
  constexpr int kSmallest = 64;
  const int ld = to_int(stride);
  const int first = n <= kSmallest ? n : half(n), rest = n - first;
  if (rest == 0) {
    gemm<T>('C', 'N', n, n, rows, T(-1), b, ld, b, ld, T(1), c, ld);
    return;
  }
  const T* other = b + first * stride;
  update_square(b, stride, rows, first, c);
  gemm<T>('C', 'N', first, rest, rows, T(-1), b, ld, other, ld, T(1), c + first * stride, ld);
  update_square(other, stride, rows, rest, c + first * (stride + 1));
}

template <typename T>
bool factor_upper(T* a, int64_t stride, int n, T* workspace) {
  if (n <= kTriangle) return factor_small(a, stride, n);
  const int first = half(n), rest = n - first;
  T *beside = a + first * stride, *below = beside + first;
  if (!factor_upper(a, stride, first, workspace)) return false;
  divide<Triangle::kUpperAdjoint>(a, stride, first, beside, stride, rest, workspace);
  update_square(beside, stride, first, rest, below);
  return factor_upper(below, stride, rest, workspace);
}

// The lower triangle of the mean of `a` and its adjoint, by square blocks, since one of both is read by
// columns.
template <typename T>
void average(const T* a, T* to, int64_t n) {
  constexpr int64_t kBlock = 16;
  for (int64_t i0 = 0; i0 < n; i0 += kBlock) {
    for (int64_t j0 = 0; j0 <= i0; j0 += kBlock) {
      for (int64_t i = i0; i < std::min(i0 + kBlock, n); ++i) {
        for (int64_t j = j0; j < std::min(j0 + kBlock, i + 1); ++j) {
          to[i * n + j] = (a[i * n + j] + conjugate(a[j * n + i])) * T(0.5);
        }
      }
    }
  }
}

// The lower factor of a matrix of which the lower triangle counts; zeros above it.
template <typename T>
void factor(const T* a, T* l, int n, bool symmetrize) {
  const int64_t stride = n;
  if (symmetrize) {
    average(a, l, n);
  } else {
    for (int64_t i = 0; i < n; ++i) std::copy(a + i * stride, a + i * stride + i + 1, l + i * stride);
  }
  std::unique_ptr<T[]> workspace;
  if (n > kTriangle) workspace.reset(new T[static_cast<size_t>(kTriangle) * n]);
  // By columns it is the transpose, conj(a) = u^H u with u the transpose of what we want.
  const bool exists = factor_upper(l, stride, n, workspace.get());
  for (int64_t i = 0; i < n; ++i) {
    if (!exists) fill_nan(l + i * stride, i + 1);
    std::fill(l + i * stride + i + 1, l + (i + 1) * stride, T(0));
  }
}

// The upper factor of r^T r + w w^T in place; `w` is used up. One rotation a row turns the first element of
// `w` that is left into the row's diagonal, and never reads below it.
template <typename T>
void update(T* r, T* w, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T* row = r + i * n;
    if (w[i] == 0) continue;
    const T length = std::hypot(row[i], w[i]);
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
  const Stack stack = squares_of(call.operand(0));
  expect_stack(vectors_of(call.operand(1)), stack.count, 1, stack.columns);
  if (stack.empty()) return;
  if (call.operand(0).type == ffi::DataType::kF32) return update_all<float>(call, stack);
  if (call.operand(0).type == ffi::DataType::kF64) return update_all<double>(call, stack);
  throw KernelError("a kernel for real numbers was called with others");
}

void cholesky(const Call& call) {
  call.expect(1, 1);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = squares_of(call.operand(0));
  const bool symmetrize = call.flag("symmetrize");
  if (stack.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* a = data<T>(call.operand(0));
    T* l = data<T>(call.result(0));
    const int64_t n = stack.rows;
    for_matrices(call, stack.count, n * n * n / 3.0,
                 [&](int64_t i) { factor(a + i * n * n, l + i * n * n, stack.rows, symmetrize); });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kCholeskyKernels[] = {kernel<linalg::cholesky>("anima_cholesky"),
                                          kernel<linalg::cholesky_update>("anima_cholesky_update"),
                                          {nullptr, nullptr}};
}
