#include "array/transfers.h"

#include "array/hooks.h"

namespace anima {

void ask_guards(const char* direction, const AvalInfo& aval, Device* to) {
  PyRef function = hook(&Hooks::on_transfer, "on_transfer");
  PyRef device = to != nullptr ? PyRef::steal(python_device(to)) : PyRef::borrow(Py_None);
  PyRef::steal(checked(PyObject_CallFunction(function.get(), "sOOO", direction, aval.dtype.get(),
                                             aval.shape.get(), device.get())));
}

}  // namespace anima
