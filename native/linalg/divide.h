// Eigenvalues and eigenvectors of real symmetric tridiagonal matrices, by dividing and conquering.
#pragma once

#include "ffi/abi.h"

namespace anima::linalg {

// Rows of `vectors` become the eigenvectors, in ascending order of the eigenvalues, which `d` becomes: of the
// matrix with diagonal `d` and, beside it, `e` (which is written over). All are finite. False if it fails.
template <typename T>
bool divide_and_conquer(ffi::CallFrame& frame, int n, T* d, T* e, T* vectors);

}  // namespace anima::linalg
