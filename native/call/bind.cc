// Adds compiled calls to the module.
#include "array/hooks.h"
#include "bindings.h"
#include "call/bind_operation.h"
#include "call/boundary.h"
#include "call/compiled_call.h"
#include "call/host_index.h"
#include "call/plan.h"
#include "call/recalled_call.h"
#include "common/py.h"

namespace anima {
namespace {

PyObject* bind_clear_all_caches(PyObject*, PyObject*) {
  return guarded<>(static_cast<PyObject*>(nullptr), []() -> PyObject* {
    clear_all_caches();
    forget_recalled();
    forget_index_devices();
    Py_RETURN_NONE;
  });
}

PyObject* bind_forget_default_devices(PyObject*, PyObject*) {
  return guarded<>(static_cast<PyObject*>(nullptr), []() -> PyObject* {
    forget_default_devices();
    forget_recalled();
    forget_index_devices();
    Py_RETURN_NONE;
  });
}

PyObject* bind_set_traceback_filter(PyObject*, PyObject* filter) {
  return guarded<>(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    if (!PyCallable_Check(filter)) {
      throw_python(PyExc_TypeError, "set_traceback_filter: the filter must be callable, got %R", filter);
    }
    set_traceback_filter(filter);
    Py_RETURN_NONE;
  });
}

PyObject* bind_call_counts(PyObject*, PyObject*) {
  return Py_BuildValue("KK", static_cast<unsigned long long>(call_counts.hits),
                       static_cast<unsigned long long>(call_counts.misses));
}

PyMethodDef functions[] = {{"set_traceback_filter", bind_set_traceback_filter, METH_O,
                            "set_traceback_filter($module, filter, /)\n--\n\n"
                            "The function from a traceback to the part of it that users see (or None)."},
                           {"call_counts", bind_call_counts, METH_NOARGS,
                            "call_counts($module)\n--\n\nHow many calls found a plan, and how many did not."},
                           {"clear_all_caches", bind_clear_all_caches, METH_NOARGS,
                            "clear_all_caches($module)\n--\n\nEmpties the cache of every CompiledCall, and "
                            "what every Recalled remembers."},
                           {"forget_default_devices", bind_forget_default_devices, METH_NOARGS,
                            "forget_default_devices($module)\n--\n\n"
                            "Has the hook asked again which device is the default one."},
                           {}};

}  // namespace

void bind_call(nanobind::module_& m) {
  create_plan_type();
  create_compiled_call_type();
  create_boundary_type();
  create_bind_operation_type();
  create_recalled_type();
  PyRef bind_operation = PyRef::steal(make_bind_operation());
  if (PyModule_AddObjectRef(m.ptr(), "bind_operation", bind_operation.get()) != 0 ||
      PyModule_AddObjectRef(m.ptr(), "Boundary", reinterpret_cast<PyObject*>(boundary_type)) != 0 ||
      PyModule_AddObjectRef(m.ptr(), "Recalled", reinterpret_cast<PyObject*>(recalled_type)) != 0 ||
      PyModule_AddObjectRef(m.ptr(), "CallPlan", reinterpret_cast<PyObject*>(plan_type)) != 0 ||
      PyModule_AddObjectRef(m.ptr(), "CompiledCall", reinterpret_cast<PyObject*>(compiled_call_type)) != 0 ||
      PyModule_AddFunctions(m.ptr(), functions) != 0) {
    throw PythonError();
  }
  bind_host_index(m);
}

}  // namespace anima
