// LU factors with partial pivoting, and systems of equations.
#include "linalg/lu.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "linalg/blocks.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(int*, T*, int*, int*, int*, int*, int*)> laswp{routine<T>("laswp")};
template <typename T>
const Function<void(char*, char*, char*, char*, int*, int*, T*, T*, int*, T*, int*)> trsm{routine<T>("trsm")};
template <typename T>
const Function<void(char*, char*, char*, int*, T*, int*, T*, int*)> trsv{routine<T>("trsv")};

double work_of(const Stack& a) { return static_cast<double>(a.size()) * std::min(a.rows, a.columns) / 2; }

// permutation[i] is the row that comes to place i when the exchanges are done.
void permute(const int* pivots, int count, int* permutation, int rows) {
  std::iota(permutation, permutation + rows, 0);
  for (int i = 0; i < count; ++i) {
    if (pivots[i] < 0 || pivots[i] >= rows) throw KernelError("a pivot is out of bounds");
    std::swap(permutation[i], permutation[pivots[i]]);
  }
}

void lu(const Call& call) {
  call.expect(1, 3);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack a = stack_of(call.operand(0));
  const int smaller = std::min(a.rows, a.columns);
  expect_stack(vectors_of(call.result(1)), a.count, 1, smaller);
  expect_stack(vectors_of(call.result(2)), a.count, 1, a.rows);
  if (a.empty()) throw KernelError("a matrix with elements was expected");
  int *pivots = data<int>(call.result(1)), *permutation = data<int>(call.result(2));
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T* to = data<T>(call.result(0));
    for_matrices(call, a.count, work_of(a), [&](int64_t i) {
      std::unique_ptr<T[]> columns(new T[a.size()]);
      transpose(from + i * a.size(), columns.get(), a.rows, a.columns);
      int* own = pivots + i * smaller;
      factor_lu(columns.get(), a.rows, a.columns, own);
      permute(own, smaller, permutation + i * a.rows, a.rows);
      transpose(columns.get(), to + i * a.size(), a.columns, a.rows);
    });
  });
}

void pivots_to_permutation(const Call& call) {
  call.expect(1, 1);
  const Stack pivots = vectors_of(call.operand(0)), permutation = vectors_of(call.result(0));
  expect_stack(permutation, pivots.count, 1, permutation.columns);
  if (pivots.columns > permutation.columns) throw KernelError("there are more pivots than rows");
  const int* from = data<int>(call.operand(0));
  int* to = data<int>(call.result(0));
  for_matrices(call, pivots.count, permutation.columns, [&](int64_t i) {
    permute(from + i * pivots.columns, pivots.columns, to + i * permutation.columns, permutation.columns);
  });
}

// ---- equations: the factors are those of the transpose, since that is what LAPACK sees of `a` ----

void transposed_lu(const Call& call) {
  call.expect(1, 2);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack a = squares_of(call.operand(0));
  expect_stack(vectors_of(call.result(1)), a.count, 1, a.rows);
  int* pivots = data<int>(call.result(1));
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T* to = data<T>(call.result(0));
    for_matrices(call, a.count, work_of(a), [&](int64_t i) {
      std::copy(from + i * a.size(), from + (i + 1) * a.size(), to + i * a.size());
      factor_lu(to + i * a.size(), a.rows, a.rows, pivots + i * a.rows);
    });
  });
}

template <typename T>
void solve_triangle(char uplo, bool transpose, const T* a, int n, T* x, int columns) {
  const char diag = uplo == 'L' ? 'U' : 'N';
  if (columns == 1) {
    trsv<T>(uplo, transpose ? 'T' : 'N', diag, n, a, n, x, 1);
  } else {  // the rows of x are columns to LAPACK, so the factor stands on the right, transposed
    trsm<T>('R', uplo, transpose ? 'N' : 'T', diag, columns, n, T(1), a, n, x, columns);
  }
}

template <typename T>
void exchange(T* x, int i, int j, int columns) {
  if (i != j)
    std::swap_ranges(x + int64_t{i} * columns, x + int64_t{i + 1} * columns, x + int64_t{j} * columns);
}

// p a^T = l u, so a = u^T l^T p and a^T = p^T l u. `x` holds the right-hand side and becomes the solution.
template <typename T>
void solve(const T* factors, const int* pivots, int n, T* x, int columns, bool transpose_a) {
  if (transpose_a) {
    for (int i = 0; i < n; ++i) exchange(x, i, pivots[i], columns);
    solve_triangle('L', false, factors, n, x, columns);
    solve_triangle('U', false, factors, n, x, columns);
  } else {
    solve_triangle('U', true, factors, n, x, columns);
    solve_triangle('L', true, factors, n, x, columns);
    for (int i = n - 1; i >= 0; --i) exchange(x, i, pivots[i], columns);
  }
}

void transposed_lu_solve(const Call& call) {
  call.expect(3, 1);
  expect_same_shape(call.operand(2), call.result(0));
  const Stack a = squares_of(call.operand(0)), b = stack_of(call.operand(2));
  expect_stack(vectors_of(call.operand(1)), a.count, 1, a.rows);
  expect_stack(b, a.count, a.rows, b.columns);
  const bool transpose_a = call.flag("transpose_a");
  const int* pivots = data<int>(call.operand(1));
  for (int64_t i = 0; i < a.count * a.rows; ++i) {
    if (pivots[i] < 0 || pivots[i] >= a.rows) throw KernelError("a pivot is out of bounds");
  }
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T *factors = data<T>(call.operand(0)), *from = data<T>(call.operand(2));
    T* to = data<T>(call.result(0));
    for_matrices(call, a.count, static_cast<double>(a.rows) * b.size(), [&](int64_t i) {
      T* x = to + i * b.size();
      std::copy(from + i * b.size(), from + (i + 1) * b.size(), x);
      solve(factors + i * a.size(), pivots + i * a.rows, a.rows, x, b.columns, transpose_a);
    });
  });
}

// ---- factors ----

// The first of the largest numbers; NaN only if it is the first one.
template <typename T>
int largest_of(const T* x, int size) {
  constexpr int kLanes = 8;  // maxima side by side, so that several are found by one instruction
  RealOf<T> most[kLanes];
  std::fill(most, most + kLanes, magnitude(x[0]));
  int i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) most[k] = magnitude(x[i + k]) > most[k] ? magnitude(x[i + k]) : most[k];
  }
  for (; i < size; ++i) most[0] = magnitude(x[i]) > most[0] ? magnitude(x[i]) : most[0];
  const RealOf<T> all = *std::max_element(most, most + kLanes);
  for (i = 0; i < size; ++i) {
    if (magnitude(x[i]) == all) return i;
  }
  return 0;
}

// A few columns, `stride` apart; pivots are counted from 0.
template <typename T>
void factor_panel(T* a, int64_t stride, int rows, int columns, int* pivots) {
  for (int j = 0; j < std::min(rows, columns); ++j) {
    T* own = a + j * stride;
    const int pivot = j + largest_of(own + j, rows - j);
    pivots[j] = pivot;
    if (pivot != j) {
      for (int c = 0; c < columns; ++c) std::swap(a[c * stride + j], a[c * stride + pivot]);
    }
    // One division instead of many, where its result is a normal number.
    const RealOf<T> size = std::abs(own[j]);
    if (size >= 4 * std::numeric_limits<RealOf<T>>::min()) {
      const T inverse = T(1) / own[j];
      for (int i = j + 1; i < rows; ++i) own[i] *= inverse;
    } else if (size != 0) {
      for (int i = j + 1; i < rows; ++i) own[i] /= own[j];
    }
    for (int c = j + 1; c < columns; ++c) {
      T* other = a + c * stride;
      const T factor = other[j];
      for (int i = j + 1; i < rows; ++i) other[i] -= own[i] * factor;
    }
  }
}

// The left half of the columns, the update of the right half by it, and the right half: so nearly all work is
// products of large matrices. LAPACK's `getrf` spends more on narrow ones.
template <typename T>
void factor_columns(T* a, int64_t stride, int rows, int columns, int* pivots, T* workspace) {
  const int count = std::min(rows, columns);
  if (count <= kTriangle) {
    factor_panel(a, stride, rows, columns, pivots);
    return;
  }
  const int left = half(count), right = columns - left;
  const int ld = to_int(stride);
  T* other = a + left * stride;
  factor_columns(a, stride, rows, left, pivots, workspace);
  for (int i = 0; i < left; ++i) ++pivots[i];  // LAPACK counts from 1
  laswp<T>(right, other, ld, 1, left, pivots, 1);
  for (int i = 0; i < left; ++i) --pivots[i];
  divide<Triangle::kUnitLower>(a, stride, left, other, stride, right, workspace);
  if (rows == left) return;
  gemm<T>('N', 'N', rows - left, right, left, T(-1), a + left, ld, other, ld, T(1), other + left, ld);
  factor_columns(other + left, stride, rows - left, right, pivots + left, workspace);
  for (int i = left; i < count; ++i) pivots[i] += left + 1;
  laswp<T>(left, a, ld, left + 1, count, pivots, 1);
  for (int i = left; i < count; ++i) --pivots[i];
}

}  // namespace

template <typename T>
void factor_lu(T* a, int rows, int columns, int* pivots) {
  // A narrow matrix is one panel, and needs no room.
  std::unique_ptr<T[]> workspace;
  if (std::min(rows, columns) > kTriangle) workspace.reset(new T[static_cast<size_t>(kTriangle) * columns]);
  factor_columns(a, rows, rows, columns, pivots, workspace.get());
}

template void factor_lu(float*, int, int, int*);
template void factor_lu(double*, int, int, int*);
template void factor_lu(std::complex<float>*, int, int, int*);
template void factor_lu(std::complex<double>*, int, int, int*);

}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kLuKernels[] = {kernel<linalg::lu>("anima_lu"),
                                    kernel<linalg::pivots_to_permutation>("anima_pivots_to_permutation"),
                                    kernel<linalg::transposed_lu>("anima_transposed_lu"),
                                    kernel<linalg::transposed_lu_solve>("anima_transposed_lu_solve"),
                                    {nullptr, nullptr}};
}
