// QR factors, and products of Householder reflectors.
//
// Row-major matrices are transposes for LAPACK, and the transpose of a QR factorisation is an LQ one, which
// stores the same reflectors at the same places; only for complex numbers the factors tau are conjugated.
// Real ones of more than a few columns are factored by panels here, in half of the time that LAPACK takes.
#include <algorithm>
#include <memory>
#include <vector>

#include "linalg/matrices.h"
#include "linalg/reflectors.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(int*, int*, T*, int*, T*, T*, int*, int*)> gelqf{routine<T>("gelqf")};
template <typename T>
const Function<void(int*, int*, int*, T*, int*, T*, T*, int*, int*)> orglq{routine<T>("orglq", "unglq")};
template <typename T>
const Function<void(char*, char*, int*, int*, int*, T*, int*, T*, T*, int*, T*, int*, int*)> ormlq{
    routine<T>("ormlq", "unmlq")};

// With column pivoting there is no LQ factorisation. Complex numbers need one more workspace.
template <typename T, bool = kComplex<T>>
struct Pivoted {
  static const Function<void(int*, int*, T*, int*, int*, T*, T*, int*, int*)> geqp3;
};
template <typename T, bool C>
const Function<void(int*, int*, T*, int*, int*, T*, T*, int*, int*)> Pivoted<T, C>::geqp3{
    routine<T>("geqp3")};
template <typename T>
struct Pivoted<T, true> {
  static const Function<void(int*, int*, T*, int*, int*, T*, T*, int*, RealOf<T>*, int*)> geqp3;
};
template <typename T>
const Function<void(int*, int*, T*, int*, int*, T*, T*, int*, RealOf<T>*, int*)> Pivoted<T, true>::geqp3{
    routine<T>("geqp3")};

template <typename T>
void conjugate(T* x, int64_t size) {
  if constexpr (kComplex<T>) std::transform(x, x + size, x, [](T v) { return std::conj(v); });
}

// Calls `routine(workspace, size)` once to ask for the size and once to work.
template <typename T, typename Routine>
void with_workspace(std::vector<T>& workspace, const Routine& routine) {
  T asked{};
  routine(&asked, -1);
  const int size = workspace_size(asked);
  if (static_cast<int>(workspace.size()) < size) workspace.resize(size);
  routine(workspace.data(), size);
}

// Reflectors below the diagonal and r on and above it, for rows that stand `stride` apart. `ts` is kept for
// `multiply`.
template <typename T>
void factor(T* a, int rows, int columns, int stride, T* taus, std::vector<T>& ts) {
  if constexpr (!kComplex<T>) {
    if (std::min(rows, columns) >= kNarrow) return factor_by_panels(a, rows, columns, stride, taus, ts);
  }
  std::vector<T> workspace;
  int info = 0;
  with_workspace(workspace,
                 [&](T* work, int size) { gelqf<T>(columns, rows, a, stride, taus, work, size, &info); });
  expect_accepted(info, "gelqf");
  conjugate(taus, std::min(rows, columns));
}

// The first columns of the product of `count` reflectors, in the place of the reflectors; `ts` is that of
// `factor`, or empty.
template <typename T>
void multiply(T* a, int rows, int columns, int count, const T* taus, std::vector<T>& ts) {
  if constexpr (!kComplex<T>) {
    if (count >= kNarrow) return multiply_by_panels(a, rows, columns, count, taus, ts);
  }
  std::vector<T> factors(taus, taus + count), workspace;
  conjugate(factors.data(), count);
  int info = 0;
  with_workspace(workspace, [&](T* work, int size) {
    orglq<T>(columns, rows, count, a, columns, factors.data(), work, size, &info);
  });
  expect_accepted(info, "orglq");
}

template <typename T>
void copy_rows(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    std::copy(from + i * from_stride, from + i * from_stride + columns, to + i * to_stride);
  }
}

// r is what stands on and above the diagonal of the first rows, and zeros.
template <typename T>
void copy_upper(const T* from, int64_t stride, T* r, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t zeros = std::min(i, columns);
    std::fill(r + i * columns, r + i * columns + zeros, T(0));
    if (zeros < columns)
      std::copy(from + i * stride + zeros, from + i * stride + columns, r + i * columns + zeros);
  }
}

double work_of(const Stack& a) { return 2.0 * a.size() * std::min(a.rows, a.columns); }

// Both factors at once. The wider of the results is the place of work.
template <typename T>
void factor_both(const T* a, const Stack& shape, T* q, int q_columns, T* r, int r_rows) {
  const int rows = shape.rows, columns = shape.columns, count = std::min(rows, columns);
  std::vector<T> taus(count), ts;
  if (columns <= q_columns) {
    copy_rows(a, columns, q, q_columns, rows, columns);
    factor(q, rows, columns, q_columns, taus.data(), ts);
    copy_upper(q, q_columns, r, std::min(rows, r_rows), columns);
    std::fill(r + int64_t{std::min(rows, r_rows)} * columns, r + int64_t{r_rows} * columns, T(0));
  } else {
    copy_rows(a, columns, r, columns, rows, columns);
    factor(r, rows, columns, columns, taus.data(), ts);
    copy_rows(r, columns, q, q_columns, rows, q_columns);
    for (int64_t i = 1; i < rows; ++i) std::fill(r + i * columns, r + i * columns + i, T(0));
  }
  multiply(q, rows, q_columns, count, taus.data(), ts);
}

void qr(const Call& call) {
  call.expect(1, 2);
  const Stack a = stack_of(call.operand(0)), q = stack_of(call.result(0)), r = stack_of(call.result(1));
  const int count = std::min(a.rows, a.columns);
  expect_stack(q, a.count, a.rows, q.columns == count ? count : a.rows);
  expect_stack(r, a.count, q.columns, a.columns);
  if (a.empty()) throw KernelError("a matrix with elements was expected");
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T *to_q = data<T>(call.result(0)), *to_r = data<T>(call.result(1));
    for_matrices(call, a.count, work_of(a), [&](int64_t i) {
      factor_both(from + i * a.size(), a, to_q + i * q.size(), q.columns, to_r + i * r.size(), r.rows);
    });
  });
}

void geqrf(const Call& call) {
  call.expect(1, 2);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack a = stack_of(call.operand(0)), taus = vectors_of(call.result(1));
  expect_stack(taus, a.count, 1, std::min(a.rows, a.columns));
  if (a.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T *to = data<T>(call.result(0)), *factors = data<T>(call.result(1));
    for_matrices(call, a.count, work_of(a), [&](int64_t i) {
      std::vector<T> ts;
      T* own = to + i * a.size();
      std::copy(from + i * a.size(), from + (i + 1) * a.size(), own);
      factor(own, a.rows, a.columns, a.columns, factors + i * taus.columns, ts);
    });
  });
}

template <typename T>
void factor_pivoted(T* a, int rows, int columns, int* places, T* taus) {
  std::fill(places, places + columns, 0);  // every column may move
  std::vector<T> workspace;
  int info = 0;
  with_workspace(workspace, [&](T* work, int size) {
    if constexpr (kComplex<T>) {
      std::vector<RealOf<T>> norms(2 * static_cast<size_t>(columns));
      Pivoted<T>::geqp3(rows, columns, a, rows, places, taus, work, size, norms.data(), &info);
    } else {
      Pivoted<T>::geqp3(rows, columns, a, rows, places, taus, work, size, &info);
    }
  });
  expect_accepted(info, "geqp3");
  for (int j = 0; j < columns; ++j) --places[j];
}

void geqp3(const Call& call) {
  call.expect(1, 3);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack a = stack_of(call.operand(0)), places = vectors_of(call.result(1));
  const Stack taus = vectors_of(call.result(2));
  expect_stack(places, a.count, 1, a.columns);
  expect_stack(taus, a.count, 1, std::min(a.rows, a.columns));
  if (a.empty()) throw KernelError("a matrix with elements was expected");
  int* to_places = data<int>(call.result(1));
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(call.operand(0));
    T *to = data<T>(call.result(0)), *factors = data<T>(call.result(2));
    for_matrices(call, a.count, work_of(a), [&](int64_t i) {
      std::unique_ptr<T[]> columns(new T[a.size()]);
      transpose(from + i * a.size(), columns.get(), a.rows, a.columns);
      factor_pivoted(columns.get(), a.rows, a.columns, to_places + i * a.columns, factors + i * taus.columns);
      transpose(columns.get(), to + i * a.size(), a.columns, a.rows);
    });
  });
}

void householder_product(const Call& call) {
  call.expect(2, 1);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack a = stack_of(call.operand(0)), taus = vectors_of(call.operand(1));
  if (a.rows < a.columns || taus.columns > a.columns) {
    throw KernelError("more columns than rows, or more reflectors than columns");
  }
  expect_stack(taus, a.count, 1, taus.columns);
  if (a.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T *from = data<T>(call.operand(0)), *factors = data<T>(call.operand(1));
    T* to = data<T>(call.result(0));
    for_matrices(call, a.count, work_of(a), [&](int64_t i) {
      std::vector<T> ts;
      T* own = to + i * a.size();
      std::copy(from + i * a.size(), from + (i + 1) * a.size(), own);
      multiply(own, a.rows, a.columns, taus.columns, factors + i * taus.columns, ts);
    });
  });
}

void ormqr(const Call& call) {
  call.expect(3, 1);
  expect_same_shape(call.operand(2), call.result(0));
  const Stack a = stack_of(call.operand(0)), taus = vectors_of(call.operand(1));
  const Stack c = stack_of(call.operand(2));
  const bool left = call.flag("left"), adjoint = call.flag("transpose");
  expect_stack(a, c.count, left ? c.rows : c.columns, a.columns);
  expect_stack(taus, c.count, 1, taus.columns);
  if (taus.columns > std::min(a.rows, a.columns)) throw KernelError("more reflectors than columns");
  if (c.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T *reflectors = data<T>(call.operand(0)), *factors = data<T>(call.operand(1));
    const T* from = data<T>(call.operand(2));
    T* to = data<T>(call.result(0));
    const char side = left ? 'R' : 'L', trans = !adjoint ? 'N' : kComplex<T> ? 'C' : 'T';
    for_matrices(call, c.count, 2.0 * c.size() * taus.columns, [&](int64_t i) {
      T* own = to + i * c.size();
      std::copy(from + i * c.size(), from + (i + 1) * c.size(), own);
      if (taus.columns == 0) return;
      std::vector<T> workspace;
      // LAPACK writes on the reflectors for a while.
      std::vector<T> own_reflectors(reflectors + i * a.size(), reflectors + (i + 1) * a.size());
      std::vector<T> scales(factors + i * taus.columns, factors + (i + 1) * taus.columns);
      conjugate(scales.data(), taus.columns);
      int info = 0;
      with_workspace(workspace, [&](T* work, int size) {
        ormlq<T>(side, trans, c.columns, c.rows, taus.columns, own_reflectors.data(), a.columns,
                 scales.data(), own, c.columns, work, size, &info);
      });
      expect_accepted(info, "ormlq");
    });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kHouseholderKernels[] = {
    kernel<linalg::qr>("anima_qr"),       kernel<linalg::geqrf>("anima_geqrf"),
    kernel<linalg::geqp3>("anima_geqp3"), kernel<linalg::householder_product>("anima_householder_product"),
    kernel<linalg::ormqr>("anima_ormqr"), {nullptr, nullptr}};
}
