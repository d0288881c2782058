// Triangular systems.
#include <algorithm>

#include "linalg/matrices.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, char*, char*, char*, int*, int*, T*, T*, int*, T*, int*)> trsm{routine<T>("trsm")};
template <typename T>
const Function<void(char*, char*, char*, int*, T*, int*, T*, int*)> trsv{routine<T>("trsv")};

struct Equation {
  bool left_side, lower, transpose, conjugate, unit_diagonal;
};

template <typename T>
void conjugate(T* x, int64_t size) {
  if constexpr (kComplex<T>) std::transform(x, x + size, x, [](T v) { return std::conj(v); });
}

// `x` holds the right-hand side and becomes the solution.
template <typename T>
void solve(const Equation& e, const T* a, int n, T* x, int rows, int columns) {
  // What LAPACK sees is the transpose of everything: the other triangle, the other side, the same `trans`.
  const char uplo = e.lower ? 'U' : 'L', diag = e.unit_diagonal ? 'U' : 'N';
  // It has no conjugate without a transpose; that of the equation has it on the other factors.
  const bool around = e.conjugate && !e.transpose;
  const int64_t size = static_cast<int64_t>(rows) * columns;
  if (around) conjugate(x, size);
  if (e.left_side && columns == 1 && !(e.conjugate && e.transpose)) {
    trsv<T>(uplo, e.transpose ? 'N' : 'T', diag, n, a, n, x, 1);
  } else {
    const char trans = !e.transpose ? 'N' : e.conjugate ? 'C' : 'T';
    trsm<T>(e.left_side ? 'R' : 'L', uplo, trans, diag, columns, rows, T(1), a, n, x, columns);
  }
  if (around) conjugate(x, size);
}

void triangular_solve(const Call& call) {
  call.expect(2, 1);
  expect_same_shape(call.operand(1), call.result(0));
  const Stack a = squares_of(call.operand(0)), b = stack_of(call.operand(1));
  const Equation e{call.flag("left_side"), call.flag("lower"), call.flag("transpose_a"),
                   call.flag("conjugate_a"), call.flag("unit_diagonal")};
  expect_stack(a, b.count, e.left_side ? b.rows : b.columns, a.rows);
  if (b.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T *from = data<T>(call.operand(0)), *right = data<T>(call.operand(1));
    T* x = data<T>(call.result(0));
    for_matrices(call, b.count, static_cast<double>(a.rows) * b.size() / 2, [&](int64_t i) {
      T* own = x + i * b.size();
      std::copy(right + i * b.size(), right + (i + 1) * b.size(), own);
      solve(e, from + i * a.size(), a.rows, own, b.rows, b.columns);
    });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kTriangularKernels[] = {kernel<linalg::triangular_solve>("anima_triangular_solve"),
                                            {nullptr, nullptr}};
}
