// What the processor can do that kernels and programs choose by.
#pragma once

namespace anima::kernels {

// Whether it multiplies pairs of bfloat16 numbers (AVX512-BF16), and the compiler knows how to say so.
bool has_bfloat16_products();

// Whether its vectors of 64 bytes are as good as those of 32: it is of a generation with AVX512-VBMI2 (from
// Ice Lake and Zen 4 on), which hardly slows its clock down for them.
bool has_wide_vectors();

}  // namespace anima::kernels
