// Stacks of matrices, and dividing them among threads.
#include "linalg/matrices.h"

#include <string>

namespace anima::linalg {
namespace {

constexpr double kPiece = 1 << 14;  // multiplications that are worth a thread
constexpr double kLarge = 1 << 20;  // from here on LAPACK's threads win

Stack last_of(const ffi::Buffer& buffer, int64_t dimensions) {
  if (buffer.rank < dimensions) throw KernelError("a buffer of more dimensions was expected");
  Stack stack;
  for (int64_t i = 0; i < buffer.rank - dimensions; ++i) stack.count *= buffer.dims[i];
  stack.rows = dimensions == 2 ? to_int(buffer.dims[buffer.rank - 2]) : 1;
  stack.columns = to_int(buffer.dims[buffer.rank - 1]);
  return stack;
}

}  // namespace

Stack stack_of(const ffi::Buffer& buffer) { return last_of(buffer, 2); }

Stack vectors_of(const ffi::Buffer& buffer) { return last_of(buffer, 1); }

void expect_stack(const Stack& stack, int64_t count, int64_t rows, int64_t columns) {
  if (stack.count == count && stack.rows == rows && stack.columns == columns) return;
  throw KernelError("a stack of matrices of another shape was expected");
}

Stack squares_of(const ffi::Buffer& buffer) {
  const Stack stack = stack_of(buffer);
  if (stack.rows != stack.columns) throw KernelError("square matrices were expected");
  return stack;
}

int to_int(int64_t value) {
  if (value >= 0 && value <= std::numeric_limits<int>::max()) return static_cast<int>(value);
  throw KernelError("a matrix of size " + std::to_string(value) + " is too large for LAPACK");
}

void for_matrices(const Call& call, int64_t count, double work, const std::function<void(int64_t)>& body) {
  if (work >= kLarge || count == 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  const int64_t grain = static_cast<int64_t>(kPiece / (work + 64)) + 1;
  kernels::parallel_for(call.frame(), count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

void expect_accepted(int info, const char* routine) {
  if (info < 0) {
    throw KernelError(std::string(routine) + ": LAPACK rejected argument " + std::to_string(-info));
  }
}

}  // namespace anima::linalg
