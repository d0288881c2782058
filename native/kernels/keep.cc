// One value for all that read it.
//
// XLA may compute an operand anew in every loop that reads it, each time with other roundings: a product and
// a sum become one operation in one loop and stay two in another. It computes what a custom call takes once.
#include <cstring>

#include "kernels/kernel.h"

namespace anima::kernels {
namespace {

// An array as it is; nothing moves where the result stands in the operand's memory.
void keep(const Call& call) {
  call.expect(1, 1);
  const ffi::Buffer &x = call.operand(0), &y = call.result(0);
  expect_same_shape(x, y);
  if (x.type != y.type) throw KernelError("a value was to be kept as another element type");
  const int64_t bytes = size_of(x) * bytes_of(x.type);
  if (x.data != y.data && bytes > 0) std::memcpy(y.data, x.data, bytes);
}

}  // namespace

extern const Kernel kKeepKernels[] = {kernel<keep>("anima_keep"), {nullptr, nullptr}};

}  // namespace anima::kernels
