// The array type and the functions around it, as Python sees them.
#define ANIMA_IMPORTS_NUMPY
#include "array/numpy_api.h"

#include <nanobind/nanobind.h>
#include <structmember.h>

#include <cstddef>

#include "array/array_type.h"
#include "array/hooks.h"
#include "array/host_value.h"
#include "array/host_view.h"
#include "bindings.h"
#include "common/args.h"

namespace anima {
namespace {

// ---- the type ----

Py_ssize_t array_length(PyObject* self) {
  const AvalInfo& aval = *as_array(self)->aval;
  if (!aval.dims.empty()) return static_cast<Py_ssize_t>(aval.dims[0]);
  PyErr_SetString(PyExc_TypeError, "len() of unsized object");
  return -1;
}

template <class Fn>
void* slot(Fn* fn) {
  return reinterpret_cast<void*>(fn);
}

void create_type(PyObject* module) {
  static PyMemberDef members[] = {
      {"__weaklistoffset__", T_PYSSIZET, offsetof(ArrayObject, weakrefs), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("A concrete array: immutable contents on one device or several.")},
      {Py_tp_dealloc, slot(dealloc_array)},
      {Py_tp_traverse, slot(traverse_array)},
      {Py_tp_clear, slot(clear_array)},
      {Py_tp_hash, slot(PyObject_HashNotImplemented)},
      {Py_tp_methods, array_methods},
      {Py_tp_getset, array_attributes},
      {Py_tp_members, members},
      {Py_bf_getbuffer, slot(array_get_buffer)},
      {Py_mp_length, slot(array_length)},
      {Py_nb_bool, slot(array_as_bool)},
      {Py_nb_int, slot(array_as_int)},
      {Py_nb_float, slot(array_as_float)},
      {Py_nb_index, slot(array_as_index)},
      {0, nullptr},
  };
  // Mutable: Python installs operators and most methods on the type.
  static PyType_Spec spec = {"anima._native.ArrayImpl", sizeof(ArrayObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             slots};
  array_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
  if (PyModule_AddObjectRef(module, "ArrayImpl", reinterpret_cast<PyObject*>(array_type)) < 0)
    throw PythonError();
}

// ---- module functions ----

ArrayObject* need_array(PyObject* value, const char* function) {
  if (is_array(value)) return as_array(value);
  throw_python(PyExc_TypeError, "%s: `x` must be an ArrayImpl, got %.200s", function,
               Py_TYPE(value)->tp_name);
}

bool truth(PyObject* value, bool otherwise) {
  return value == nullptr ? otherwise : checked_status(PyObject_IsTrue(value)) != 0;
}

PyObject* optional(PyObject* value) { return value == nullptr ? nullptr : none_to_null(value); }

PyObject* check_copy(PyObject* copy, const char* function) {
  if (copy == nullptr || copy == Py_None || copy == Py_True || copy == Py_False) return copy;
  throw_python(PyExc_TypeError, "%s: `copy` must be True, False or None, got %R", function, copy);
}

PyObject* none() { return Py_NewRef(Py_None); }

PyObject* py_register_dtype(const CallArgs& args) {
  static constexpr const char* kNames[] = {"code", "np_dtype"};
  PyObject* given[2];
  parse_args("register_dtype", kNames, 2, args, given);
  long code = PyLong_AsLong(given[0]);
  if (code == -1 && PyErr_Occurred()) throw PythonError();
  PJRT_Buffer_Type type = type_of_code(code);
  if (type == PJRT_Buffer_Type_INVALID)
    throw_python(PyExc_ValueError, "register_dtype: unknown PJRT element type code %ld", code);
  register_dtype(type, given[1]);
  return none();
}

constexpr const char* kHookNames[] = {"make_aval", "make_sharding", "default_device", "assemble",
                                      "on_transfer"};
constexpr PyRef Hooks::* kHookFields[] = {&Hooks::make_aval, &Hooks::make_sharding, &Hooks::default_device,
                                          &Hooks::assemble, &Hooks::on_transfer};
constexpr int kHookCount = 5;

PyObject* py_set_array_hooks(const CallArgs& args) {
  PyObject* given[kHookCount];
  parse_args("set_array_hooks", kHookNames, 0, args, given);
  for (int i = 0; i < kHookCount; ++i) {
    if (given[i] == nullptr) continue;
    if (!PyCallable_Check(given[i])) {
      throw_python(PyExc_TypeError, "set_array_hooks: `%s` must be callable, got %R", kHookNames[i],
                   given[i]);
    }
    hooks().*kHookFields[i] = PyRef::borrow(given[i]);
  }
  if (given[1] != nullptr) forget_device_shardings();
  if (given[2] != nullptr) forget_default_devices();
  return none();
}

PyObject* py_array_hooks(const CallArgs& args) {
  if (args.positional != 0) throw_python(PyExc_TypeError, "array_hooks() takes no arguments");
  PyRef dict = PyRef::steal(checked(PyDict_New()));
  for (int i = 0; i < kHookCount; ++i) {
    PyObject* function = (hooks().*kHookFields[i]).get();
    if (function != nullptr) checked_status(PyDict_SetItemString(dict.get(), kHookNames[i], function));
  }
  return dict.release();
}

PyObject* py_array_from_host(const CallArgs& args) {
  static constexpr const char* kNames[] = {"value", "device", "copy", "dtype", "weak_type", "committed"};
  PyObject* given[6];
  parse_args("array_from_host", kNames, 2, args, given);
  PyObject* copy = given[2] == nullptr ? Py_True : check_copy(given[2], "array_from_host");
  return array_from_host(given[0], unwrap_device(given[1], "device"), copy, optional(given[3]),
                         optional(given[4]), truth(given[5], false));
}

PyObject* py_aligned_empty(const CallArgs& args) {
  static constexpr const char* kNames[] = {"shape", "dtype"};
  PyObject* given[2];
  parse_args("aligned_empty", kNames, 2, args, given);
  AvalRef aval = intern_aval(given[0], given[1], false);
  PyObject* dtype = dtype_of_type(aval->type);
  return numpy_over_block(std::make_shared<Block>(aval->nbytes), aval->physical_dims, dtype, true);
}

PyObject* py_array_from_shards(const CallArgs& args) {
  static constexpr const char* kNames[] = {"shape", "dtype", "weak_type", "sharding", "arrays"};
  PyObject* given[5];
  parse_args("array_from_shards", kNames, 5, args, given);
  return array_from_shards(given[0], given[1], truth(given[2], false), given[3], given[4]);
}

PyObject* py_array_with(const CallArgs& args) {
  static constexpr const char* kNames[] = {"x", "weak_type", "dtype", "committed", "sharding"};
  PyObject* given[5];
  parse_args("array_with", kNames, 1, args, given);
  return array_with(need_array(given[0], "array_with"), optional(given[1]), optional(given[2]),
                    optional(given[3]), optional(given[4]));
}

PyObject* py_copy_to_device(const CallArgs& args) {
  static constexpr const char* kNames[] = {"x", "device"};
  PyObject* given[2];
  parse_args("copy_to_device", kNames, 2, args, given);
  return copy_to_device(need_array(given[0], "copy_to_device"), unwrap_device(given[1], "device"));
}

PyObject* py_from_dlpack_capsule(const CallArgs& args) {
  static constexpr const char* kNames[] = {"capsule", "device", "copy"};
  PyObject* given[3];
  parse_args("from_dlpack_capsule", kNames, 1, args, given);
  PyObject* device = optional(given[1]);
  return from_dlpack_capsule(given[0], device != nullptr ? unwrap_device(device, "device") : nullptr,
                             check_copy(given[2], "from_dlpack_capsule"));
}

// The inverse of ArrayImpl.__reduce__: the array goes to the default device, uncommitted.
PyObject* py_array_from_pickle(const CallArgs& args) {
  static constexpr const char* kNames[] = {"contents", "weak_type", "extended"};
  PyObject* given[3];
  parse_args("array_from_pickle", kNames, 3, args, given);
  return array_from_host(given[0], default_device(), Py_True, optional(given[2]), given[1], false);
}

PyObject* py_aval_of_host_value(const CallArgs& args) {
  static constexpr const char* kNames[] = {"value"};
  PyObject* given[1];
  parse_args("aval_of_host_value", kNames, 1, args, given);
  AvalRef aval = aval_of_host_value(given[0]);
  return aval ? python_aval(*aval) : none();
}

PyObject* py_live_arrays(const CallArgs& args) {
  if (args.positional != 0) throw_python(PyExc_TypeError, "live_arrays() takes no arguments");
  return live_arrays();
}

template <PyObject* (*Function)(const CallArgs&)>
PyObject* entry(PyObject*, PyObject* const* values, Py_ssize_t count, PyObject* names) {
  return guarded<PyObject*>(nullptr, [&] { return checked(Function(CallArgs{values, count, names})); });
}

template <PyObject* (*Function)(const CallArgs&)>
constexpr PyMethodDef define(const char* name, const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(entry<Function>)),
          METH_FASTCALL | METH_KEYWORDS, doc};
}

PyMethodDef functions[] = {
    define<py_register_dtype>("register_dtype",
                              "register_dtype($module, code, np_dtype)\n--\n\n"
                              "Let a numpy dtype stand for a PJRT element type code. Idempotent."),
    define<py_set_array_hooks>(
        "set_array_hooks",
        "set_array_hooks($module, make_aval=..., make_sharding=..., default_device=..., assemble=..., "
        "on_transfer=...)\n--\n\n"
        "Set the Python functions that arrays call: make_aval(shape, dtype, weak_type), "
        "make_sharding(device), default_device(), assemble(array), on_transfer(direction, dtype, shape, "
        "device)."),
    define<py_array_hooks>("array_hooks",
                           "array_hooks($module)\n--\n\n"
                           "The hooks that are set, by name."),
    define<py_array_from_host>(
        "array_from_host",
        "array_from_host($module, value, device, copy=True, dtype=None, weak_type=None, "
        "committed=False)\n--\n\n"
        "A NumPy array or scalar, or a Python number, as an array on `device`. copy=True copies "
        "always, None shares memory of aligned_empty(), False shares or raises ValueError. "
        "dtype=None narrows 64-bit types while x64 is off."),
    define<py_aligned_empty>("aligned_empty",
                             "aligned_empty($module, shape, dtype)\n--\n\n"
                             "An uninitialised numpy array in memory that arrays can share."),
    define<py_array_from_shards>(
        "array_from_shards",
        "array_from_shards($module, shape, dtype, weak_type, sharding, arrays)\n--\n\n"
        "One array out of single-device arrays, in the order of the sharding's devices."),
    define<py_array_with>(
        "array_with",
        "array_with($module, x, weak_type=None, dtype=None, committed=None, sharding=None)\n--\n\n"
        "An array of the same buffers with another weak type, dtype (of the same bits, or extended), "
        "committedness or sharding."),
    define<py_copy_to_device>("copy_to_device",
                              "copy_to_device($module, x, device)\n--\n\n"
                              "A copy of `x` on `device`, committed to it."),
    define<py_from_dlpack_capsule>(
        "from_dlpack_capsule",
        "from_dlpack_capsule($module, capsule, device=None, copy=None)\n--\n\n"
        "The array in a DLPack capsule; shares host memory that is dense and aligned."),
    define<py_array_from_pickle>("array_from_pickle",
                                 "array_from_pickle($module, contents, weak_type, extended)\n--\n\n"
                                 "Rebuilds a pickled array on the default device."),
    define<py_aval_of_host_value>(
        "aval_of_host_value",
        "aval_of_host_value($module, value)\n--\n\n"
        "The aval that a host value would have as an array; None if it is no host value."),
    define<py_live_arrays>("live_arrays",
                           "live_arrays($module)\n--\n\n"
                           "The arrays that exist and were not deleted, latest first."),
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_array(nanobind::module_& m) {
  if (PyArray_ImportNumPyAPI() < 0) throw PythonError();
  create_type(m.ptr());
  if (PyModule_AddFunctions(m.ptr(), functions) < 0) throw PythonError();
}

}  // namespace anima
