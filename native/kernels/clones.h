// Functions compiled for several generations of processors.
#pragma once

// Before a function whose loops vectorise: it is compiled for plain x86-64, for AVX2 and for AVX-512, and the
// loader takes the best that the processor has. What it calls must be inlined into it.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ANIMA_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define ANIMA_CLONES
#endif

#if defined(__GNUC__)
#define ANIMA_INLINE inline __attribute__((always_inline))
#else
#define ANIMA_INLINE inline
#endif
