// Eigenvalues and triangular forms of general square matrices.
#include "linalg/spectral.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, char*, int*, T*, int*, T*, T*, T*, int*, T*, int*, T*, int*, int*)> geev_real{
    routine<T>("geev")};
template <typename T>
const Function<void(char*, char*, int*, T*, int*, T*, T*, int*, T*, int*, T*, int*, RealOf<T>*, int*)>
    geev_complex{routine<T>("geev")};
template <typename T>
const Function<void(char*, char*, int*, int*, T*, int*, T*, int*, T*, T*, int*, T*, T*, T*, int*, int*, int*,
                    int*)>
    trsen_real{routine<T>("trsen")};
template <typename T>
const Function<void(char*, char*, int*, int*, T*, int*, T*, int*, T*, int*, RealOf<T>*, RealOf<T>*, T*, int*,
                    int*)>
    trsen_complex{routine<T>("trsen")};
template <typename T>
const Function<void(int*, int*, int*, T*, int*, T*, T*, int*, int*)> gehrd{routine<T>("gehrd")};

// --- eigenvalues and eigenvectors --------------------------------------------------------------

template <typename T>
using ComplexOf = std::complex<RealOf<T>>;

struct Sides {
  bool left, right;
  char left_letter() const { return left ? 'V' : 'N'; }
  char right_letter() const { return right ? 'V' : 'N'; }
};

// Eigenvectors from columns of real numbers: those of a conjugate pair lie beside each other, as the real
// and the imaginary part of the first. `to` has them as columns, in memory by rows.
template <typename R>
void unpack(const R* columns, const R* imaginary, std::complex<R>* to, int64_t n) {
  for (int64_t j = 0; j < n;) {
    const R *re = columns + j * n, *im = re + n;
    if (imaginary[j] == 0 || j + 1 == n) {
      for (int64_t i = 0; i < n; ++i) to[i * n + j] = re[i];
      ++j;
    } else {
      for (int64_t i = 0; i < n; ++i) {
        to[i * n + j] = {re[i], im[i]};
        to[i * n + j + 1] = {re[i], -im[i]};
      }
      j += 2;
    }
  }
}

// The results are memory for eigenvalues and, where `sides` says so, eigenvectors. Returns LAPACK's `info`.
template <typename R>
int eigen_of(const Sides& sides, int n, R* a, std::complex<R>* w, std::complex<R>* left,
             std::complex<R>* right, int work_size) {
  const int64_t size = static_cast<int64_t>(n) * n;
  auto re = scratch<R>(n), im = scratch<R>(n), work = scratch<R>(work_size);
  auto vl = scratch<R>(sides.left ? size : 1), vr = scratch<R>(sides.right ? size : 1);
  int info = 0;
  geev_real<R>(sides.left_letter(), sides.right_letter(), n, a, n, re.get(), im.get(), vl.get(), n, vr.get(),
               n, work.get(), work_size, &info);
  if (info != 0) return info;
  for (int i = 0; i < n; ++i) w[i] = {re[i], im[i]};
  if (sides.left) unpack(vl.get(), im.get(), left, n);
  if (sides.right) unpack(vr.get(), im.get(), right, n);
  return info;
}
template <typename R>
int eigen_of(const Sides& sides, int n, std::complex<R>* a, std::complex<R>* w, std::complex<R>* left,
             std::complex<R>* right, int work_size) {
  using T = std::complex<R>;
  const int64_t size = static_cast<int64_t>(n) * n;
  auto reals = scratch<R>(2 * static_cast<int64_t>(n));
  auto vl = scratch<T>(sides.left ? size : 1), vr = scratch<T>(sides.right ? size : 1),
       work = scratch<T>(work_size);
  int info = 0;
  geev_complex<T>(sides.left_letter(), sides.right_letter(), n, a, n, w, vl.get(), n, vr.get(), n, work.get(),
                  work_size, reals.get(), &info);
  if (info != 0) return info;
  if (sides.left) transpose(vl.get(), left, n, n);
  if (sides.right) transpose(vr.get(), right, n, n);
  return info;
}

template <typename T>
int eigen_work(const Sides& sides, int n) {
  T asked{}, none{};
  RealOf<T> no_value{};
  int info = 0;
  if constexpr (kComplex<T>) {
    geev_complex<T>(sides.left_letter(), sides.right_letter(), n, &none, n, &none, &none, n, &none, n, &asked,
                    -1, &no_value, &info);
  } else {
    geev_real<T>(sides.left_letter(), sides.right_letter(), n, &none, n, &none, &none, &none, n, &none, n,
                 &asked, -1, &info);
  }
  expect_accepted(info, "geev");
  return workspace_size(asked);
}

// Operand: square matrices. Results, complex: eigenvalues, and eigenvectors (columns) on the left and right,
// as the attributes say.
void eig(const Call& call) {
  const Sides sides{call.flag("left"), call.flag("right")};
  call.expect(1, 1 + sides.left + sides.right);
  const Stack stack = squares_of(call.operand(0));
  expect_stack(vectors_of(call.result(0)), stack.count, 1, stack.columns);
  for (int64_t i = 1; i < call.results(); ++i) expect_same_shape(call.operand(0), call.result(i));
  if (stack.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    using C = ComplexOf<T>;
    const T* from = data<T>(call.operand(0));
    C* w = data<C>(call.result(0));
    C* left = sides.left ? data<C>(call.result(1)) : nullptr;
    C* right = sides.right ? data<C>(call.result(1 + sides.left)) : nullptr;
    const int n = stack.rows;
    const int64_t size = stack.size();
    const int work_size = eigen_work<T>(sides, n);
    for_matrices(call, stack.count, size * n * 25.0, [&](int64_t i) {
      C *values = w + i * n, *l = left + (sides.left ? i * size : 0),
        *r = right + (sides.right ? i * size : 0);
      bool failed = !all_finite(from + i * size, size);
      if (!failed) {
        auto a = scratch<T>(size);
        transpose(from + i * size, a.get(), n, n);
        const int info = eigen_of(sides, n, a.get(), values, l, r, work_size);
        expect_accepted(info, "geev");
        failed = info != 0;
      }
      if (!failed) return;
      fill_nan(values, n);
      if (sides.left) fill_nan(l, size);
      if (sides.right) fill_nan(r, size);
    });
  });
}

// --- Schur form --------------------------------------------------------------------------------

template <typename T>
int schur_of(char vectors, int n, T* a, T* z, T* work, int work_size) {
  auto values = scratch<T>(2 * static_cast<int64_t>(n));
  auto reals = scratch<RealOf<T>>(n);
  int info = 0, selected = 0;
  if constexpr (kComplex<T>) {
    gees_complex<T>(vectors, 'N', nullptr, n, a, n, &selected, values.get(), z, n, work, work_size,
                    reals.get(), nullptr, &info);
  } else {
    gees_real<T>(vectors, 'N', nullptr, n, a, n, &selected, values.get(), values.get() + n, z, n, work,
                 work_size, nullptr, &info);
  }
  expect_accepted(info, "gees");
  return info;
}

// Operand: square matrices. Results: the (quasi-)triangular forms, and the Schur vectors if there are two.
void schur(const Call& call) {
  const bool vectors = call.results() == 2;
  call.expect(1, vectors ? 2 : 1);
  const Stack stack = squares_of(call.operand(0));
  for (int64_t i = 0; i < call.results(); ++i) expect_same_shape(call.operand(0), call.result(i));
  if (stack.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T *t = data<T>(call.result(0)), *z = vectors ? data<T>(call.result(1)) : nullptr;
    const int n = stack.rows;
    const int64_t size = stack.size();
    T asked{}, none{};
    schur_of(vectors ? 'V' : 'N', n, &none, &none, &asked, -1);
    const int work_size = workspace_size(asked);
    for_matrices(call, stack.count, size * n * 25.0, [&](int64_t i) {
      bool failed = !all_finite(from + i * size, size);
      if (!failed) {
        auto a = scratch<T>(size), columns = scratch<T>(vectors ? size : 1), work = scratch<T>(work_size);
        transpose(from + i * size, a.get(), n, n);
        failed = schur_of(vectors ? 'V' : 'N', n, a.get(), columns.get(), work.get(), work_size) != 0;
        transpose(a.get(), t + i * size, n, n);
        if (vectors) transpose(columns.get(), z + i * size, n, n);
      }
      if (!failed) return;
      fill_nan(t + i * size, size);
      if (vectors) fill_nan(z + i * size, size);
    });
  });
}

// Moves the chosen eigenvalues of a (quasi-)triangular matrix to its front.
template <typename T>
int reorder(char vectors, const int* chosen, int n, T* t, T* z) {
  auto values = scratch<T>(2 * static_cast<int64_t>(n)), work = scratch<T>(n);
  int info = 0, count = 0, integers = 0;
  RealOf<T> condition{}, separation{};
  if constexpr (kComplex<T>) {
    trsen_complex<T>('N', vectors, chosen, n, t, n, z, n, values.get(), &count, &condition, &separation,
                     work.get(), n, &info);
  } else {
    trsen_real<T>('N', vectors, chosen, n, t, n, z, n, values.get(), values.get() + n, &count, &condition,
                  &separation, work.get(), n, &integers, 1, &info);
  }
  expect_accepted(info, "trsen");
  return info;
}

// Operands: (quasi-)triangular forms, perhaps Schur vectors, and which eigenvalues (int32, not 0) come first.
// Results: the same, in order.
void schur_reorder(const Call& call) {
  const int64_t count = call.results();
  if (count != 1 && count != 2) throw KernelError("schur_reorder: one or two results were expected");
  const bool vectors = count == 2;
  call.expect(count + 1, count);
  const Stack stack = squares_of(call.operand(0));
  for (int64_t i = 0; i < count; ++i) {
    expect_same_shape(call.operand(0), call.operand(i));
    expect_same_shape(call.operand(0), call.result(i));
  }
  expect_stack(vectors_of(call.operand(count)), stack.count, 1, stack.rows);
  if (stack.empty()) return;
  const int32_t* chosen = data<int32_t>(call.operand(count));
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T *t = data<T>(call.operand(0)), *z = vectors ? data<T>(call.operand(1)) : nullptr;
    T *new_t = data<T>(call.result(0)), *new_z = vectors ? data<T>(call.result(1)) : nullptr;
    const int n = stack.rows;
    const int64_t size = stack.size();
    for_matrices(call, stack.count, size * n * 4.0, [&](int64_t i) {
      bool failed = !all_finite(t + i * size, size);
      if (!failed) {
        auto columns = scratch<T>(size), others = scratch<T>(vectors ? size : 1);
        transpose(t + i * size, columns.get(), n, n);
        if (vectors) transpose(z + i * size, others.get(), n, n);
        failed = reorder(vectors ? 'V' : 'N', chosen + i * n, n, columns.get(), others.get()) != 0;
        transpose(columns.get(), new_t + i * size, n, n);
        if (vectors) transpose(others.get(), new_z + i * size, n, n);
      }
      if (!failed) return;
      fill_nan(new_t + i * size, size);
      if (vectors) fill_nan(new_z + i * size, size);
    });
  });
}

// --- Hessenberg form ---------------------------------------------------------------------------

// Operand: square matrices. Results: their Hessenberg forms with reflectors below, and the reflectors'
// factors.
void hessenberg(const Call& call) {
  call.expect(1, 2);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = squares_of(call.operand(0));
  const int n = stack.rows;
  if (n == 0) throw KernelError("hessenberg: matrices of no size");
  expect_stack(vectors_of(call.result(1)), stack.count, 1, n - 1);
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T *to = data<T>(call.result(0)), *taus = data<T>(call.result(1));
    const int64_t size = stack.size();
    T asked{}, none{};
    int info = 0;
    gehrd<T>(n, 1, n, &none, n, &none, &asked, -1, &info);
    const int work_size = workspace_size(asked);
    for_matrices(call, stack.count, size * n * 10.0 / 3, [&](int64_t i) {
      auto a = scratch<T>(size), work = scratch<T>(work_size);
      int status = 0;
      transpose(from + i * size, a.get(), n, n);
      gehrd<T>(n, 1, n, a.get(), n, taus + i * (n - 1), work.get(), work_size, &status);
      expect_accepted(status, "gehrd");
      transpose(a.get(), to + i * size, n, n);
    });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kSchurKernels[] = {kernel<linalg::eig>("anima_eig"),
                                       kernel<linalg::schur>("anima_schur"),
                                       kernel<linalg::schur_reorder>("anima_schur_reorder"),
                                       kernel<linalg::hessenberg>("anima_hessenberg"),
                                       {nullptr, nullptr}};
}
