// Functions compiled for several generations of processors.
#pragma once

// Before a function whose loops vectorise: it is compiled for plain x86-64 and for AVX2, and the loader takes
// the better one that the processor has (with AVX-512, pooling was no quicker on a Zen 4; on a Zen 5 its sums
// were not, and its maxima half as quick). What it calls must be inlined into it.
//
// `ANIMA_GENERATION` makes a library for one generation alone, to be tested on processors that have more: 1
// for plain x86-64, 3 for AVX2.
#if defined(ANIMA_GENERATION) && ANIMA_GENERATION == 3
#define ANIMA_CLONES __attribute__((target("arch=x86-64-v3")))
#elif defined(__x86_64__) && !defined(ANIMA_GENERATION) && defined(__gnu_linux__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ANIMA_CLONES __attribute__((target_clones("default", "arch=x86-64-v3")))
#else
#define ANIMA_CLONES
#endif

// Before a function for registers of 64 bytes, which may be called where `has_wide()` says so.
#if !defined(ANIMA_GENERATION) && defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && \
    !defined(__clang__)
#define ANIMA_HAS_WIDE 1
#define ANIMA_WIDE __attribute__((target("arch=x86-64-v4")))
namespace anima::kernels {
inline bool has_wide() {
  static const bool supported = __builtin_cpu_supports("x86-64-v4");
  return supported;
}
}  // namespace anima::kernels
#endif

#if defined(__GNUC__)
#define ANIMA_INLINE inline __attribute__((always_inline))
#define ANIMA_INLINE_LAMBDA __attribute__((always_inline))
#else
#define ANIMA_INLINE inline
#define ANIMA_INLINE_LAMBDA
#endif

// Before a loop whose steps touch no memory that others write: compilers need not check it.
#if defined(__GNUC__) && !defined(__clang__)
#define ANIMA_INDEPENDENT _Pragma("GCC ivdep")
#else
#define ANIMA_INDEPENDENT
#endif
