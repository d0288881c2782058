// Singular values.
#include "linalg/spectral.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, int*, int*, T*, int*, T*, T*, int*, T*, int*, T*, int*, int*, int*)> gesdd_real{
    routine<T>("gesdd")};
template <typename T>
const Function<void(char*, int*, int*, T*, int*, RealOf<T>*, T*, int*, T*, int*, T*, int*, RealOf<T>*, int*,
                    int*)>
    gesdd_complex{routine<T>("gesdd")};
template <typename T>
const Function<void(char*, char*, int*, int*, T*, int*, T*, T*, int*, T*, int*, T*, int*, int*)> gesvd_real{
    routine<T>("gesvd")};
template <typename T>
const Function<void(char*, char*, int*, int*, T*, int*, RealOf<T>*, T*, int*, T*, int*, T*, int*, RealOf<T>*,
                    int*)>
    gesvd_complex{routine<T>("gesvd")};

// What is asked of each matrix: `kind` is LAPACK's, 'A' for square factors, 'S' for economic ones, 'N' for
// singular values alone. Memory is in rows, so LAPACK sees the transpose, whose left factor is our right one.
struct Wanted {
  char kind;
  bool divide;  // and conquer, rather than iterate
  int rows, columns, least;

  int columns_of_u() const { return kind == 'A' ? rows : least; }
  int rows_of_v() const { return kind == 'A' ? columns : least; }
  int64_t size() const { return static_cast<int64_t>(rows) * columns; }
};

template <typename T>
int factor(const Wanted& wanted, T* a, RealOf<T>* s, T* u, T* v, Workspace<T>& space) {
  int info = 0;
  const int m = wanted.columns, n = wanted.rows, ldvt = wanted.columns_of_u();
  T* work = space.elements.get();
  if constexpr (kComplex<T>) {
    if (wanted.divide) {
      gesdd_complex<T>(wanted.kind, m, n, a, m, s, v, m, u, ldvt, work, space.size, space.reals.get(),
                       space.integers.get(), &info);
    } else {
      gesvd_complex<T>(wanted.kind, wanted.kind, m, n, a, m, s, v, m, u, ldvt, work, space.size,
                       space.reals.get(), &info);
    }
  } else {
    if (wanted.divide) {
      gesdd_real<T>(wanted.kind, m, n, a, m, s, v, m, u, ldvt, work, space.size, space.integers.get(), &info);
    } else {
      gesvd_real<T>(wanted.kind, wanted.kind, m, n, a, m, s, v, m, u, ldvt, work, space.size, &info);
    }
  }
  expect_accepted(info, "gesdd");
  return info;
}

// Real numbers that complex routines need; they do not say it in a query.
int64_t real_size(const Wanted& wanted) {
  const int64_t least = wanted.least, most = std::max(wanted.rows, wanted.columns);
  if (!wanted.divide) return 5 * least;
  if (wanted.kind == 'N') return 7 * least;
  return least * std::max(5 * least + 7, 2 * most + 2 * least + 1);
}

// Operand: matrices. Results: singular values, and the factors on the left and right if there are three.
void svd(const Call& call) {
  const bool factors = call.results() == 3;
  call.expect(1, factors ? 3 : 1);
  const Stack stack = stack_of(call.operand(0));
  Wanted wanted{'N', call.flag("divide"), stack.rows, stack.columns, std::min(stack.rows, stack.columns)};
  if (factors) {
    wanted.kind = call.flag("full") ? 'A' : 'S';
    expect_stack(stack_of(call.result(1)), stack.count, wanted.rows, wanted.columns_of_u());
    expect_stack(stack_of(call.result(2)), stack.count, wanted.rows_of_v(), wanted.columns);
  }
  expect_stack(vectors_of(call.result(0)), stack.count, 1, wanted.least);
  if (stack.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    RealOf<T>* s = data<RealOf<T>>(call.result(0));
    T* u = factors ? data<T>(call.result(1)) : nullptr;
    T* v = factors ? data<T>(call.result(2)) : nullptr;
    const int64_t size = wanted.size(), least = wanted.least;
    const int64_t u_size = factors ? static_cast<int64_t>(wanted.rows) * wanted.columns_of_u() : 0;
    const int64_t v_size = factors ? static_cast<int64_t>(wanted.columns) * wanted.rows_of_v() : 0;
    Workspace<T> asked = query<T>();
    T none{};
    RealOf<T> no_value{};
    factor(wanted, &none, &no_value, &none, &none, asked);
    const int work_size = workspace_size(asked.elements[0]);
    const int reals = kComplex<T> ? to_int(real_size(wanted)) : 1;
    for_matrices(call, stack.count, size * least * (factors ? 12.0 : 4.0), [&](int64_t i) {
      RealOf<T>* values = s + i * least;
      T *left = u + i * u_size, *right = v + i * v_size;
      bool failed = !all_finite(from + i * size, size);
      if (!failed) {
        auto a = scratch<T>(size);
        std::copy(from + i * size, from + (i + 1) * size, a.get());
        Workspace<T> space(work_size, reals, to_int(8 * least));
        failed = factor(wanted, a.get(), values, factors ? left : &none, factors ? right : &none, space) != 0;
      }
      if (!failed) return;
      fill_nan(values, least);
      fill_nan(left, u_size);
      fill_nan(right, v_size);
    });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kSvdKernels[] = {kernel<linalg::svd>("anima_svd"), {nullptr, nullptr}};
}
