// Eigenvalues of Hermitian and of real symmetric tridiagonal matrices, and the reduction to those.
#include "linalg/divide.h"
#include "linalg/reflected.h"
#include "linalg/spectral.h"
#include "linalg/tridiagonal_form.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, char*, int*, T*, int*, T*, T*, int*, int*, int*, int*)> syevd{routine<T>("syevd")};
template <typename T>
const Function<void(char*, char*, int*, T*, int*, RealOf<T>*, T*, int*, RealOf<T>*, int*, int*, int*, int*)>
    heevd{routine<T>("heevd")};
template <typename T>
const Function<void(char*, char*, char*, int*, T*, int*, T*, T*, int*, int*, T*, int*, T*, T*, int*, int*, T*,
                    int*, int*, int*, int*)>
    syevr{routine<T>("syevr")};
template <typename T>
const Function<void(char*, char*, char*, int*, T*, int*, RealOf<T>*, RealOf<T>*, int*, int*, RealOf<T>*, int*,
                    RealOf<T>*, T*, int*, int*, T*, int*, RealOf<T>*, int*, int*, int*, int*)>
    heevr{routine<T>("heevr")};
template <typename T>
const Function<void(char*, int*, T*, int*, T*, T*, T*, T*, int*, int*)> sytrd{routine<T>("sytrd")};
template <typename T>
const Function<void(char*, int*, T*, int*, RealOf<T>*, RealOf<T>*, T*, T*, int*, int*)> hetrd{
    routine<T>("hetrd")};
template <typename T>
const Function<void(char*, int*, T*, T*, T*, int*, T*, int*, int*, int*, int*)> stevd{routine<T>("stevd")};

// --- Hermitian matrices ------------------------------------------------------------------------

// What is asked of each matrix of a stack: eigenvalues number `first` to `first + count`, counted from 0.
struct Wanted {
  char vectors, triangle;
  int n, first, count;
  bool all() const { return count == n; }
};

// All eigenvalues of `a`, which the eigenvectors replace, as LAPACK has them: one after the other.
template <typename T>
int all_pairs(const Wanted& wanted, T* a, RealOf<T>* w, Workspace<T>& space) {
  int info = 0;
  const int n = wanted.n;
  if constexpr (kComplex<T>) {
    heevd<T>(wanted.vectors, wanted.triangle, n, a, n, w, space.elements.get(), space.size, space.reals.get(),
             space.real_size, space.integers.get(), space.integer_size, &info);
  } else {
    syevd<T>(wanted.vectors, wanted.triangle, n, a, n, w, space.elements.get(), space.size,
             space.integers.get(), space.integer_size, &info);
  }
  expect_accepted(info, "heevd");
  return info;
}

// Some of them; the eigenvectors go to `z`. `w` has place for all.
template <typename T>
int some_pairs(const Wanted& wanted, T* a, RealOf<T>* w, T* z, int* support, Workspace<T>& space) {
  using R = RealOf<T>;
  int info = 0, found = 0;
  const int n = wanted.n, low = wanted.first + 1, high = wanted.first + wanted.count;
  if constexpr (kComplex<T>) {
    heevr<T>(wanted.vectors, 'I', wanted.triangle, n, a, n, R(0), R(0), low, high, R(0), &found, w, z, n,
             support, space.elements.get(), space.size, space.reals.get(), space.real_size,
             space.integers.get(), space.integer_size, &info);
  } else {
    syevr<T>(wanted.vectors, 'I', wanted.triangle, n, a, n, R(0), R(0), low, high, R(0), &found, w, z, n,
             support, space.elements.get(), space.size, space.integers.get(), space.integer_size, &info);
  }
  expect_accepted(info, "heevr");
  return info != 0 || found != wanted.count;
}

// Real matrices of sizes from the first to the last are decomposed here: for smaller ones there is little to
// divide, and larger ones outgrow the caches while they are reduced.
constexpr int kDivided = 32, kReduced = 2048;

template <typename T>
bool is_divided(const Wanted& wanted) {
  return !kComplex<T> && wanted.vectors == 'V' && wanted.all() && wanted.n >= kDivided &&
         wanted.n <= kReduced;
}

// The power of two that a matrix is multiplied by for its squares to be neither infinite nor zero.
template <typename T>
int exponent_for(const T* a, int64_t size) {
  T largest = 0;
  for (int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(a[i]));
  if (largest == 0) return 0;
  constexpr int kMost = std::numeric_limits<T>::max_exponent - 2;
  const int exponent = std::ilogb(largest);
  return std::abs(exponent) < kMost / 4 ? 0 : std::clamp(-exponent, -kMost, kMost);
}

// All eigenvalues and, in columns, eigenvectors.
template <typename T>
bool divided_pairs(ffi::CallFrame& frame, const Wanted& wanted, const T* from, T* v, T* w) {
  const int n = wanted.n, exponent = exponent_for(from, int64_t{n} * n);
  auto off = scratch<T>(n), taus = scratch<T>(n);
  auto rows = scratch<T>(int64_t{n} * n);
  UpperRows<T> a(from, n, wanted.triangle == 'U');  // our lower triangle is LAPACK's upper one
  if (exponent != 0) a.multiply_by(std::ldexp(T(1), exponent));
  reduce_to_tridiagonal(a, w, off.get(), taus.get());
  if (!divide_and_conquer(frame, n, w, off.get(), rows.get())) return false;
  multiply_reflected(frame, a, taus.get(), rows.get());
  transpose(rows.get(), v, n, n);
  if (exponent != 0) std::transform(w, w + n, w, [&](T value) { return std::ldexp(value, -exponent); });
  return true;
}

template <typename T>
void decompose(ffi::CallFrame& frame, const Wanted& wanted, const Workspace<T>& sizes, const T* from, T* v,
               RealOf<T>* w) {
  const int64_t n = wanted.n, count = wanted.count;
  bool failed = !all_finite(from, n * n);
  if constexpr (!kComplex<T>) {
    if (!failed && is_divided<T>(wanted) && divided_pairs(frame, wanted, from, v, w)) return;
  }
  if (!failed) {
    auto a = scratch<T>(n * n);
    std::copy(from, from + n * n, a.get());
    Workspace<T> space(sizes.size, sizes.real_size, sizes.integer_size);
    if (wanted.all()) {
      failed = all_pairs(wanted, a.get(), w, space) != 0;
      // LAPACK saw the conjugate of the matrix, and its rows are our columns.
      if (v != nullptr && !failed) adjoint(a.get(), v, n, n);
    } else {
      auto values = scratch<RealOf<T>>(n);
      auto z = scratch<T>(v == nullptr ? 1 : n * count);
      auto support = scratch<int>(2 * n);
      failed = some_pairs(wanted, a.get(), values.get(), z.get(), support.get(), space) != 0;
      std::copy(values.get(), values.get() + count, w);
      if (v != nullptr && !failed) adjoint(z.get(), v, count, n);
    }
  }
  if (!failed) return;
  fill_nan(w, count);
  if (v != nullptr) fill_nan(v, n * count);
}

// Operand: matrices of which one triangle counts. Results: eigenvectors (columns) if there are two, and
// eigenvalues in ascending order, from number `first` on.
void eigh(const Call& call) {
  const bool vectors = call.results() == 2;
  call.expect(1, vectors ? 2 : 1);
  const Stack stack = squares_of(call.operand(0));
  const ffi::Buffer& values = call.result(vectors ? 1 : 0);
  const Stack found = vectors_of(values);
  expect_stack(found, stack.count, 1, found.columns);
  // Memory is in rows, so our lower triangle is LAPACK's upper one.
  const Wanted wanted{vectors ? 'V' : 'N', call.flag("lower") ? 'U' : 'L', stack.rows,
                      to_int(call.integer("first")), found.columns};
  if (wanted.first > wanted.n - wanted.count) throw KernelError("eigh: there are not so many eigenvalues");
  if (vectors) expect_stack(stack_of(call.result(0)), stack.count, stack.rows, wanted.count);
  if (stack.empty() || wanted.count == 0) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* a = data<T>(call.operand(0));
    T* v = vectors ? data<T>(call.result(0)) : nullptr;
    RealOf<T>* w = data<RealOf<T>>(values);
    const int64_t n = wanted.n;
    Workspace<T> asked = query<T>();
    T none{};
    RealOf<T> no_value{};
    int no_support = 0;
    wanted.all() ? all_pairs(wanted, &none, &no_value, asked)
                 : some_pairs(wanted, &none, &no_value, &none, &no_support, asked);
    const Workspace<T> sizes = answer(asked);
    const auto run = [&](int64_t i) {
      decompose(call.frame(), wanted, sizes, a + i * n * n, vectors ? v + i * n * wanted.count : nullptr,
                w + i * wanted.count);
    };
    if (!is_divided<T>(wanted))
      return for_matrices(call, stack.count, n * n * n * (vectors ? 8.0 : 2.0), run);
    kernels::parallel_for(call.frame(), stack.count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) run(i);
    });
  });
}

// --- reduction to tridiagonal form -------------------------------------------------------------

template <typename T>
int reduce(char triangle, int n, T* a, RealOf<T>* d, RealOf<T>* e, T* taus, T* work, int size) {
  int info = 0;
  if constexpr (kComplex<T>) {
    hetrd<T>(triangle, n, a, n, d, e, taus, work, size, &info);
  } else {
    sytrd<T>(triangle, n, a, n, d, e, taus, work, size, &info);
  }
  expect_accepted(info, "hetrd");
  return info;
}

// Operand: matrices of which one triangle counts. Results: the reduced matrices with reflectors beside the
// band, the diagonals, the subdiagonals, and the factors of the reflectors.
void tridiagonal(const Call& call) {
  call.expect(1, 4);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = squares_of(call.operand(0));
  const int n = stack.rows;
  if (n == 0) throw KernelError("tridiagonal: matrices of no size");
  expect_stack(vectors_of(call.result(1)), stack.count, 1, n);
  expect_stack(vectors_of(call.result(2)), stack.count, 1, n - 1);
  expect_stack(vectors_of(call.result(3)), stack.count, 1, n - 1);
  const char triangle = call.flag("lower") ? 'L' : 'U';
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T *to = data<T>(call.result(0)), *taus = data<T>(call.result(3));
    RealOf<T>*d = data<RealOf<T>>(call.result(1)), *e = data<RealOf<T>>(call.result(2));
    const int64_t size = stack.size();
    T asked{}, none{};
    RealOf<T> no_value{};
    reduce(triangle, n, &none, &no_value, &no_value, &none, &asked, -1);
    const int work_size = workspace_size(asked);
    for_matrices(call, stack.count, size * n * 4.0 / 3, [&](int64_t i) {
      auto a = scratch<T>(size), work = scratch<T>(work_size);
      transpose(from + i * size, a.get(), n, n);
      reduce(triangle, n, a.get(), d + i * n, e + i * (n - 1), taus + i * (n - 1), work.get(), work_size);
      transpose(a.get(), to + i * size, n, n);
    });
  });
}

// --- tridiagonal matrices ----------------------------------------------------------------------

template <typename T>
void decompose_tridiagonal(int n, const Workspace<T>& sizes, const T* d, const T* e, T* v, T* w) {
  bool failed = !all_finite(d, n) || !all_finite(e, n - 1);
  if (!failed) {
    auto off = scratch<T>(n), z = scratch<T>(v == nullptr ? 1 : static_cast<int64_t>(n) * n);
    Workspace<T> space(sizes.size, sizes.real_size, sizes.integer_size);
    std::copy(d, d + n, w);
    std::copy(e, e + n - 1, off.get());
    int info = 0;
    stevd<T>(v == nullptr ? 'N' : 'V', n, w, off.get(), z.get(), n, space.elements.get(), space.size,
             space.integers.get(), space.integer_size, &info);
    expect_accepted(info, "stevd");
    failed = info != 0;
    if (v != nullptr && !failed) transpose(z.get(), v, n, n);
  }
  if (!failed) return;
  fill_nan(w, n);
  if (v != nullptr) fill_nan(v, static_cast<int64_t>(n) * n);
}

// Operands: diagonals and subdiagonals of real symmetric matrices. Results: eigenvectors (columns) if there
// are two, and eigenvalues in ascending order.
void eigh_tridiagonal(const Call& call) {
  const bool vectors = call.results() == 2;
  call.expect(2, vectors ? 2 : 1);
  const Stack stack = vectors_of(call.operand(0));
  const int n = stack.columns;
  if (n == 0) throw KernelError("eigh_tridiagonal: matrices of no size");
  expect_stack(vectors_of(call.operand(1)), stack.count, 1, n - 1);
  expect_stack(vectors_of(call.result(vectors ? 1 : 0)), stack.count, 1, n);
  if (vectors) expect_stack(stack_of(call.result(0)), stack.count, n, n);
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const T *d = data<T>(call.operand(0)), *e = data<T>(call.operand(1));
    T* v = vectors ? data<T>(call.result(0)) : nullptr;
    T* w = data<T>(call.result(vectors ? 1 : 0));
    Workspace<T> asked = query<T>();
    T none{};
    int info = 0;
    stevd<T>(vectors ? 'V' : 'N', n, &none, &none, &none, n, asked.elements.get(), asked.size,
             asked.integers.get(), asked.integer_size, &info);
    const Workspace<T> sizes = answer(asked);
    const double work = static_cast<double>(n) * n * (vectors ? n : 10);
    for_matrices(call, stack.count, work, [&](int64_t i) {
      decompose_tridiagonal(n, sizes, d + i * n, e + i * (n - 1),
                            vectors ? v + i * n * static_cast<int64_t>(n) : nullptr, w + i * n);
    });
  };
  call.operand(0).type == ffi::DataType::kF32 ? run(float()) : run(double());
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kEigenKernels[] = {kernel<linalg::eigh>("anima_eigh"),
                                       kernel<linalg::tridiagonal>("anima_tridiagonal"),
                                       kernel<linalg::eigh_tridiagonal>("anima_eigh_tridiagonal"),
                                       {nullptr, nullptr}};
}
