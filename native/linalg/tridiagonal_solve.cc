// Tridiagonal systems: Gaussian elimination with exchanges of neighbouring rows, as in LAPACK's `gtsv`, for
// right-hand sides whose rows lie together.
#include <algorithm>
#include <cmath>
#include <vector>

#include "linalg/matrices.h"

namespace anima::linalg {
namespace {

template <typename T>
struct System {
  const T *below, *diagonal, *above;  // the first and the last are not read
  int64_t n, columns;
  bool perturb;

  // The smallest pivot, if those below it are replaced: rounding errors are as large.
  RealOf<T> smallest() const {
    using Limits = std::numeric_limits<RealOf<T>>;
    RealOf<T> largest = 0;
    for (int64_t i = 0; i < n; ++i) {
      largest = std::max(largest, std::abs(diagonal[i]));
      if (i > 0) largest = std::max(largest, std::abs(below[i]));
      if (i + 1 < n) largest = std::max(largest, std::abs(above[i]));
    }
    return std::max(Limits::epsilon() * largest, Limits::min());
  }
};

template <typename T>
T raised(T pivot, RealOf<T> smallest) {
  const RealOf<T> size = std::abs(pivot);
  if (!(size < smallest)) return pivot;
  if constexpr (kComplex<T>) {
    return size == 0 ? T(smallest) : pivot * (smallest / size);
  } else {
    return std::copysign(smallest, pivot);
  }
}

// `x` holds the right-hand side and becomes the solution. False if a pivot is zero.
template <typename T>
bool solve(const System<T>& s, T* x) {
  const int64_t n = s.n, k = s.columns;
  std::vector<T> d(s.diagonal, s.diagonal + n), u(s.above, s.above + n), second(n, T(0));
  const RealOf<T> smallest = s.perturb ? s.smallest() : RealOf<T>(0);
  u[n - 1] = T(0);
  for (int64_t i = 0; i + 1 < n; ++i) {
    T *row = x + i * k, *next = row + k;
    T l = s.below[i + 1];
    if (magnitude(l) > magnitude(d[i])) {
      std::swap(l, d[i]);
      std::swap_ranges(row, row + k, next);
      second[i] = u[i + 1];
      const T below = d[i + 1];
      d[i + 1] = u[i];
      u[i] = below;
      u[i + 1] = T(0);
    }
    d[i] = raised(d[i], smallest);
    if (d[i] == T(0)) return false;
    const T factor = l / d[i];
    d[i + 1] -= factor * u[i];
    u[i + 1] -= factor * second[i];
    for (int64_t j = 0; j < k; ++j) next[j] -= factor * row[j];
  }
  d[n - 1] = raised(d[n - 1], smallest);
  if (d[n - 1] == T(0)) return false;
  for (int64_t i = n - 1; i >= 0; --i) {
    T* row = x + i * k;
    for (int64_t j = 0; j < k; ++j) {
      T rest = row[j];
      if (i + 1 < n) rest -= u[i] * row[k + j];
      if (i + 2 < n) rest -= second[i] * row[2 * k + j];
      row[j] = rest / d[i];
    }
  }
  return true;
}

void tridiagonal_solve(const Call& call) {
  call.expect(4, 1);
  expect_same_shape(call.operand(3), call.result(0));
  const Stack b = stack_of(call.operand(3));
  for (int64_t i = 0; i < 3; ++i) expect_stack(vectors_of(call.operand(i)), b.count, 1, b.rows);
  const bool perturb = call.flag("perturb_singular");
  if (b.empty()) return;
  with_element_type(call.operand(3), [&](auto zero) {
    using T = decltype(zero);
    const T *below = data<T>(call.operand(0)), *diagonal = data<T>(call.operand(1));
    const T *above = data<T>(call.operand(2)), *from = data<T>(call.operand(3));
    T* to = data<T>(call.result(0));
    for_matrices(call, b.count, 4.0 * b.size(), [&](int64_t i) {
      T* x = to + i * b.size();
      std::copy(from + i * b.size(), from + (i + 1) * b.size(), x);
      const int64_t at = i * b.rows;
      const System<T> system{below + at, diagonal + at, above + at, b.rows, b.columns, perturb};
      if (!solve(system, x)) fill_nan(x, b.size());
    });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kTridiagonalSolveKernels[] = {
    kernel<linalg::tridiagonal_solve>("anima_tridiagonal_solve"), {nullptr, nullptr}};
}
