// Functions of matrices, by their Schur forms, and Sylvester's equation.
//
// Invariant: what is not finite has a result that is not: NaN throughout.
#include "linalg/spectral.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, char*, int*, int*, int*, T*, int*, T*, int*, T*, int*, RealOf<T>*, int*)> trsyl{
    routine<T>("trsyl")};

template <typename T>
constexpr char kAdjoint = kComplex<T> ? 'C' : 'T';

// A matrix by columns, as LAPACK has it.
template <typename T>
struct Matrix {
  int rows, columns;
  std::unique_ptr<T[]> elements;
  Matrix(int rows, int columns)
      : rows(rows), columns(columns), elements(scratch<T>(static_cast<int64_t>(rows) * columns)) {}
  T* data() const { return elements.get(); }
  T& operator()(int64_t i, int64_t j) const { return elements[j * rows + i]; }
  int stride() const { return rows > 0 ? rows : 1; }
};

template <typename T>
Matrix<T> product(char left, const Matrix<T>& a, char right, const Matrix<T>& b) {
  const int rows = left == 'N' ? a.rows : a.columns, inner = left == 'N' ? a.columns : a.rows;
  Matrix<T> c(rows, right == 'N' ? b.columns : b.rows);
  gemm<T>(left, right, rows, c.columns, inner, T(1), a.data(), a.stride(), b.data(), b.stride(), T(0),
          c.data(), c.stride());
  return c;
}

// A matrix of which memory has the rows.
template <typename T>
Matrix<T> from_rows(const T* from, int rows, int columns) {
  Matrix<T> a(rows, columns);
  transpose(from, a.data(), rows, columns);
  return a;
}

// Puts the Schur form in the place of `a` and returns the vectors; false if there is none.
template <typename T>
bool to_schur(const Matrix<T>& a, const Matrix<T>& vectors) {
  const int n = a.rows;
  auto values = scratch<T>(2 * static_cast<int64_t>(n));
  auto reals = scratch<RealOf<T>>(n);
  int info = 0, selected = 0, size = -1;
  T asked{};
  auto work = scratch<T>(1);
  for (const bool query : {true, false}) {
    T* space = query ? &asked : work.get();
    if constexpr (kComplex<T>) {
      gees_complex<T>('V', 'N', nullptr, n, a.data(), n, &selected, values.get(), vectors.data(), n, space,
                      size, reals.get(), nullptr, &info);
    } else {
      gees_real<T>('V', 'N', nullptr, n, a.data(), n, &selected, values.get(), values.get() + n,
                   vectors.data(), n, space, size, nullptr, &info);
    }
    expect_accepted(info, "gees");
    size = workspace_size(asked);
    if (query) work = scratch<T>(size);
  }
  return info == 0;
}

// --- Sylvester's equation ----------------------------------------------------------------------

// The solution of a x + x b = c (Bartels and Stewart, 1972), by rows; false if a and -b share an eigenvalue.
template <typename T>
bool solve_sylvester(const T* a_rows, const T* b_rows, const T* c_rows, T* to, int m, int n) {
  const int64_t size = static_cast<int64_t>(m) * n;
  if (!all_finite(a_rows, static_cast<int64_t>(m) * m) || !all_finite(b_rows, static_cast<int64_t>(n) * n) ||
      !all_finite(c_rows, size)) {
    return false;
  }
  const Matrix<T> a = from_rows(a_rows, m, m), b = from_rows(b_rows, n, n), u(m, m), v(n, n);
  if (!to_schur(a, u) || !to_schur(b, v)) return false;
  const Matrix<T> f = product('N', product(kAdjoint<T>, u, 'N', from_rows(c_rows, m, n)), 'N', v);
  RealOf<T> scale = 1;
  int info = 0;
  trsyl<T>('N', 'N', 1, m, n, a.data(), m, b.data(), n, f.data(), m, &scale, &info);
  expect_accepted(info, "trsyl");
  // It perturbs what is singular, and says so.
  if (info != 0 || scale == 0) return false;
  const Matrix<T> x = product('N', product('N', u, 'N', f), kAdjoint<T>, v);
  transpose(x.data(), to, n, m);
  if (scale != 1) std::transform(to, to + size, to, [scale](T e) { return e / scale; });
  return true;
}

// Operands: square matrices a and b, and c. Result: the solutions of a x + x b = c.
void sylvester(const Call& call) {
  call.expect(3, 1);
  expect_same_shape(call.operand(2), call.result(0));
  const Stack a = squares_of(call.operand(0)), b = squares_of(call.operand(1)), c = stack_of(call.operand(2));
  expect_stack(a, c.count, c.rows, c.rows);
  expect_stack(b, c.count, c.columns, c.columns);
  if (c.empty()) return;
  with_element_type(call.operand(2), [&](auto zero) {
    using T = decltype(zero);
    const T *left = data<T>(call.operand(0)), *right = data<T>(call.operand(1)),
            *from = data<T>(call.operand(2));
    T* to = data<T>(call.result(0));
    const double m = c.rows, n = c.columns;
    for_matrices(call, c.count, 25 * (m * m * m + n * n * n), [&](int64_t i) {
      T* x = to + i * c.size();
      if (!solve_sylvester(left + i * a.size(), right + i * b.size(), from + i * c.size(), x, c.rows,
                           c.columns)) {
        fill_nan(x, c.size());
      }
    });
  });
}

// --- functions by the Schur form ---------------------------------------------------------------

// Eigenvalues of a real matrix that are negative but for rounding errors are so, or chance would choose the
// branch of the root.
template <typename T>
void make_real(const Matrix<T>& t) {
  RealOf<T> size = 0;
  for (int j = 0; j < t.rows; ++j) size = std::max(size, std::abs(t(j, j)));
  const RealOf<T> bound = size * t.rows * 8 * std::numeric_limits<RealOf<T>>::epsilon();
  for (int j = 0; j < t.rows; ++j) {
    if (std::abs(t(j, j).imag()) <= bound) t(j, j) = t(j, j).real();
  }
}

// The square root of an upper triangular matrix (Bjorck and Hammarling, 1983).
template <typename T>
Matrix<T> root_of(const Matrix<T>& t) {
  const int n = t.rows;
  Matrix<T> r(n, n);
  std::fill(r.data(), r.data() + static_cast<int64_t>(n) * n, T(0));
  for (int j = 0; j < n; ++j) {
    r(j, j) = std::sqrt(t(j, j));
    for (int i = j - 1; i >= 0; --i) {
      T rest = t(i, j);
      for (int k = i + 1; k < j; ++k) rest -= r(i, k) * r(k, j);
      const T sum = r(i, i) + r(j, j);
      // Two zeros on the diagonal have a root if nothing is between them.
      r(i, j) = rest == T(0) ? T(0) : rest / sum;
    }
  }
  return r;
}

// Operand: square complex matrices. Result: their principal square roots.
void sqrtm(const Call& call) {
  call.expect(1, 1);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = squares_of(call.operand(0));
  if (stack.empty()) return;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T* to = data<T>(call.result(0));
    const int n = stack.rows;
    const int64_t size = stack.size();
    for_matrices(call, stack.count, size * n * 30.0, [&](int64_t i) {
      bool good = all_finite(from + i * size, size);
      if (good) {
        const Matrix<T> a = from_rows(from + i * size, n, n), z(n, n);
        const bool real = std::all_of(a.data(), a.data() + size, [](T x) { return x.imag() == 0; });
        good = to_schur(a, z);
        if (good && real) make_real(a);
        if (good)
          transpose(product('N', product('N', z, 'N', root_of(a)), 'C', z).data(), to + i * size, n, n);
      }
      if (!good) fill_nan(to + i * size, size);
    });
  };
  with_complex_type(call.operand(0), run);
}

// The other elements of f(t) from its diagonal, by rows (Golub and Van Loan, Matrix Computations, 9.1.4):
// f(t) commutes with t. Where eigenvalues are equal there is no difference to divide by; returns the
// smallest.
template <typename T>
RealOf<T> extend(const T* t, const T* diagonal, T* f, int64_t n) {
  std::fill(f, f + n * n, T(0));
  for (int64_t i = 0; i < n; ++i) f[i * n + i] = diagonal[i];
  RealOf<T> least = std::numeric_limits<RealOf<T>>::infinity();
  for (int64_t band = 1; band < n; ++band) {
    for (int64_t i = 0; i + band < n; ++i) {
      const int64_t j = i + band;
      T sum = t[i * n + j] * (f[j * n + j] - f[i * n + i]);
      for (int64_t k = i + 1; k < j; ++k) {
        sum += t[i * n + k] * f[k * n + j] - f[i * n + k] * t[k * n + j];
      }
      const T difference = t[j * n + j] - t[i * n + i];
      f[i * n + j] = difference == T(0) ? sum : sum / difference;
      least = std::min(least, std::abs(difference));
    }
  }
  return least;
}

// Operands: upper triangular complex matrices t, and the values of a function at their diagonals. Results:
// the function of t, and the smallest difference that was divided by (infinite if there is none).
void parlett(const Call& call) {
  call.expect(2, 2);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = squares_of(call.operand(0));
  expect_stack(vectors_of(call.operand(1)), stack.count, 1, stack.rows);
  if (kernels::size_of(call.result(1)) != stack.count)
    throw KernelError("parlett: one number for each matrix was expected");
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const T *t = data<T>(call.operand(0)), *diagonal = data<T>(call.operand(1));
    T* f = data<T>(call.result(0));
    RealOf<T>* least = data<RealOf<T>>(call.result(1));
    const int64_t n = stack.rows, size = stack.size();
    for_matrices(call, stack.count, size * n / 3.0,
                 [&](int64_t i) { least[i] = extend(t + i * size, diagonal + i * n, f + i * size, n); });
  };
  with_complex_type(call.operand(0), run);
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kMatrixFunctionKernels[] = {kernel<linalg::sylvester>("anima_sylvester"),
                                                kernel<linalg::sqrtm>("anima_sqrtm"),
                                                kernel<linalg::parlett>("anima_parlett"),
                                                {nullptr, nullptr}};
}
