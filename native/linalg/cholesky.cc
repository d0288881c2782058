// Cholesky factors.
#include <algorithm>

#include "linalg/matrices.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, int*, T*, int*, int*)> potrf{routine<T>("potrf")};

// The lower factor of a matrix of which the lower triangle counts; zeros above it.
template <typename T>
void factor(const T* a, T* l, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    std::copy(a + i * n, a + i * n + i + 1, l + i * n);
    std::fill(l + i * n + i + 1, l + (i + 1) * n, T(0));
  }
  int info = 0;
  // What LAPACK sees is the transpose, conj(a) = u^H u with u the transpose of what we want.
  potrf<T>('U', to_int(n), l, to_int(n), &info);
  expect_accepted(info, "potrf");
  if (info > 0) fill_nan(l, n * n);
}

void cholesky(const Call& call) {
  call.expect(1, 1);
  expect_same_shape(call.operand(0), call.result(0));
  const Stack stack = stack_of(call.operand(0));
  expect_square(stack);
  if (stack.empty()) return;
  with_element_type(call.operand(0), [&](auto zero) {
    using T = decltype(zero);
    const T* a = data<T>(call.operand(0));
    T* l = data<T>(call.result(0));
    const int64_t n = stack.rows;
    for_matrices(call, stack.count, n * n * n / 3.0,
                 [&](int64_t i) { factor(a + i * n * n, l + i * n * n, n); });
  });
}

}  // namespace
}  // namespace anima::linalg

namespace anima::kernels {
extern const Kernel kCholeskyKernels[] = {kernel<linalg::cholesky>("anima_cholesky"), {nullptr, nullptr}};
}
