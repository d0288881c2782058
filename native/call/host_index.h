// Reading and updating small arrays at NumPy's indices without a program.
//
// Invariant: what is answered here has the bits, the dtype, the weak type and the place that the compiled
// program's result has. All else is left to Python, errors too: the answer is None then, and nothing has
// happened.
#pragma once

#include <nanobind/nanobind.h>

namespace anima {

void bind_host_index(nanobind::module_& m);
// Forgets where indices may be used under which options.
void forget_index_devices();

}  // namespace anima
