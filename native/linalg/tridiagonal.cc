// Systems of equations with tridiagonal matrices.
//
// Invariant: rows are exchanged where that makes a pivot larger (Golub and Van Loan, Matrix Computations,
// 4.3), so the factor above the diagonal has two bands.
#include "linalg/spectral.h"

namespace anima::linalg {
namespace {

template <typename T>
RealOf<T> size_of_number(T x) {  // within a factor of sqrt(2) of |x|, as LAPACK compares pivots
  if constexpr (kComplex<T>) return std::abs(x.real()) + std::abs(x.imag());
  return std::abs(x);
}

// The upper factor: its diagonal, and the two bands above. Elimination and the right-hand sides go together.
template <typename T>
struct Factor {
  std::unique_ptr<T[]> diagonal, first, second;
  explicit Factor(int64_t n) : diagonal(scratch<T>(n)), first(scratch<T>(n)), second(scratch<T>(n)) {}
};

// to -= factor * from, for rows of right-hand sides.
template <typename T>
void subtract(T* to, T factor, const T* from, int64_t columns) {
  for (int64_t j = 0; j < columns; ++j) to[j] -= factor * from[j];
}

// Eliminates below the diagonal of a matrix given by its bands (lower[0] and upper[n - 1] do not count).
template <typename T>
Factor<T> eliminate(int64_t n, const T* lower, const T* d, const T* upper, T* x, int64_t columns) {
  Factor<T> u(n);
  std::copy(d, d + n, u.diagonal.get());
  std::copy(upper, upper + n, u.first.get());
  std::fill(u.second.get(), u.second.get() + n, T(0));
  u.first[n - 1] = T(0);
  for (int64_t i = 0; i + 1 < n; ++i) {
    T* row = x + i * columns;
    T* next = row + columns;
    const T below = lower[i + 1];
    if (size_of_number(u.diagonal[i]) >= size_of_number(below)) {
      if (below == T(0)) continue;
      const T factor = below / u.diagonal[i];
      u.diagonal[i + 1] -= factor * u.first[i];
      subtract(next, factor, row, columns);
      continue;
    }
    const T factor = u.diagonal[i] / below, above = u.first[i];
    u.diagonal[i] = below;
    u.first[i] = u.diagonal[i + 1];
    u.diagonal[i + 1] = above - factor * u.first[i];
    if (i + 2 < n) {
      u.second[i] = u.first[i + 1];
      u.first[i + 1] = -factor * u.second[i];
    }
    std::swap_ranges(row, next, next);
    subtract(next, factor, row, columns);
  }
  return u;
}

// Makes pivots that are nearly zero as large as rounding errors, so that solutions stay finite.
template <typename T>
void perturb(Factor<T>& u, int64_t n) {
  using R = RealOf<T>;
  R largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max({largest, std::abs(u.diagonal[i]), std::abs(u.first[i]), std::abs(u.second[i])});
  }
  const R least = std::max(largest * std::numeric_limits<R>::epsilon(), std::numeric_limits<R>::min());
  for (int64_t i = 0; i < n; ++i) {
    if (std::abs(u.diagonal[i]) >= least) continue;
    u.diagonal[i] = std::real(u.diagonal[i]) < 0 ? T(-least) : T(least);
  }
}

// Replaces the right-hand sides by the solutions; false if the matrix is singular.
template <typename T>
bool substitute(const Factor<T>& u, int64_t n, T* x, int64_t columns) {
  for (int64_t i = n - 1; i >= 0; --i) {
    if (u.diagonal[i] == T(0)) return false;
    T* row = x + i * columns;
    if (i + 1 < n) subtract(row, u.first[i], row + columns, columns);
    if (i + 2 < n) subtract(row, u.second[i], row + 2 * columns, columns);
    for (int64_t j = 0; j < columns; ++j) row[j] /= u.diagonal[i];
  }
  return true;
}

// Operands: the three bands, and the right-hand sides. Result: the solutions, NaN for singular matrices.
void tridiagonal_solve(const Call& call) {
  call.expect(4, 1);
  const Stack bands = vectors_of(call.operand(0)), sides = stack_of(call.operand(3));
  expect_same_shape(call.operand(0), call.operand(1));
  expect_same_shape(call.operand(0), call.operand(2));
  expect_same_shape(call.operand(3), call.result(0));
  expect_stack(sides, bands.count, bands.columns, sides.columns);
  if (sides.empty()) return;
  const bool perturbed = call.flag("perturb_singular");
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T *lower = data<T>(call.operand(0)), *d = data<T>(call.operand(1)),
            *upper = data<T>(call.operand(2));
    const T* b = data<T>(call.operand(3));
    T* x = data<T>(call.result(0));
    const int64_t n = bands.columns, columns = sides.columns;
    const double work = static_cast<double>(n) * (columns + 8);
    kernels::parallel_for(
        call.frame(), bands.count, static_cast<int64_t>(1e4 / work) + 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            T* solution = x + i * n * columns;
            std::copy(b + i * n * columns, b + (i + 1) * n * columns, solution);
            Factor<T> u = eliminate(n, lower + i * n, d + i * n, upper + i * n, solution, columns);
            if (perturbed) perturb(u, n);
            if (!substitute(u, n, solution, columns)) fill_nan(solution, n * columns);
          }
        });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kTridiagonalKernels[] = {kernel<linalg::tridiagonal_solve>("anima_tridiagonal_solve"),
                                             {nullptr, nullptr}};
}
