// LU factors with partial pivoting, as other kernels use them too.
#pragma once

#include "linalg/matrices.h"

namespace anima::linalg {

// Factors a matrix stored by columns in place, as LAPACK's `getrf` does: unit lower factor below the
// diagonal, upper factor on and above it. `pivots[i]` is the row, counted from 0, that row `i` was exchanged
// with.
template <typename T>
void factor_lu(T* a, int rows, int columns, int* pivots);

}  // namespace anima::linalg
