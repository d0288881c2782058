#include "kernels/features.h"

namespace anima::kernels {

#if defined(__x86_64__) && defined(__GNUC__)
bool has_bfloat16_products() {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}
bool has_wide_vectors() { return __builtin_cpu_supports("avx512vbmi2") != 0; }
#else
bool has_bfloat16_products() { return false; }
bool has_wide_vectors() { return false; }
#endif

}  // namespace anima::kernels
