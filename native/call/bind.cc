// Adds compiled calls to the module.
#include "bindings.h"

namespace anima {
void bind_call(nanobind::module_&) {}
}  // namespace anima
