// A kernel that does nothing, for programs whose work XLA does not see.
//
// XLA runs a program in the thread that calls it if the operations that it counts are few, and it counts none
// in calls of kernels. This one keeps alive an array that was computed for the sake of the count.
#include "kernels/kernel.h"

namespace anima::kernels {
namespace {

// Operand: any array. Results: none.
void weight(const Call& call) { call.expect(1, 0); }

}  // namespace

extern const Kernel kWeightKernels[] = {kernel<weight>("anima_weight"), {nullptr, nullptr}};

}  // namespace anima::kernels
