// C++ exceptions become Python exceptions here, and nowhere else.
//
// Invariant: a class named in kNames may be asked for at any time; until Python code registers one,
// RuntimeError stands in for it.
#include <nanobind/nanobind.h>

#include <cstdarg>
#include <cstring>
#include <new>

#include "bindings.h"
#include "common/py.h"
#include "pjrt/client.h"

namespace nb = nanobind;

namespace anima {
namespace {

constexpr int kClassCount = 4;
constexpr const char* kNames[kClassCount] = {"XlaRuntimeError", "DeletedArrayError", "ForkError",
                                             "PluginError"};
PyObject* classes[kClassCount] = {};  // owned for the life of the process

void set_error_class(const char* name, nb::handle cls) {
  if (!PyExceptionClass_Check(cls.ptr())) {
    throw_python(PyExc_TypeError, "set_error_class: `cls` must be an exception class, got %R", cls.ptr());
  }
  for (int i = 0; i < kClassCount; ++i) {
    if (std::strcmp(name, kNames[i]) != 0) continue;
    PyObject* old = std::exchange(classes[i], cls.inc_ref().ptr());
    Py_XDECREF(old);
    return;
  }
  throw_python(PyExc_ValueError,
               "set_error_class: unknown error class %s; known: XlaRuntimeError, DeletedArrayError, "
               "ForkError, PluginError",
               name);
}

void set_message(PyObject* cls, const char* message) {
  // XLA's messages quote program text and may hold bytes that are no UTF-8.
  PyRef text = PyRef::steal(PyUnicode_DecodeUTF8(message, std::strlen(message), "replace"));
  if (text) PyErr_SetObject(cls, text.get());
}

void set_pjrt_error(const PjrtError& error) {
  PyObject* cls = error_class(ErrorClass::kXlaRuntime);
  if (classes[static_cast<int>(ErrorClass::kXlaRuntime)] == nullptr) {
    set_message(cls, error.what());
    return;
  }
  PyRef text = PyRef::steal(PyUnicode_DecodeUTF8(error.what(), std::strlen(error.what()), "replace"));
  if (!text) return;
  PyRef value = PyRef::steal(PyObject_CallFunction(cls, "Oi", text.get(), static_cast<int>(error.code)));
  if (value) PyErr_SetObject(cls, value.get());
}

void translate(const std::exception_ptr& error, void*) {
  try {
    std::rethrow_exception(error);
  } catch (const PythonError&) {
    return;
  } catch (const PjrtError& e) {
    set_pjrt_error(e);
  } catch (const DeletedError& e) {
    set_message(error_class(ErrorClass::kDeletedArray), e.what());
  } catch (const ForkError& e) {
    set_message(error_class(ErrorClass::kFork), e.what());
  } catch (const PluginError& e) {
    set_message(error_class(ErrorClass::kPlugin), e.what());
  }
}

PyObject* builtin_class(nb::exception_type type) {
  switch (type) {
    case nb::exception_type::type_error:
    case nb::exception_type::next_overload:
      return PyExc_TypeError;
    case nb::exception_type::value_error:
      return PyExc_ValueError;
    case nb::exception_type::index_error:
      return PyExc_IndexError;
    case nb::exception_type::key_error:
      return PyExc_KeyError;
    case nb::exception_type::attribute_error:
      return PyExc_AttributeError;
    case nb::exception_type::buffer_error:
      return PyExc_BufferError;
    case nb::exception_type::import_error:
      return PyExc_ImportError;
    case nb::exception_type::stop_iteration:
      return PyExc_StopIteration;
    default:
      return PyExc_RuntimeError;
  }
}

}  // namespace

PyObject* error_class(ErrorClass which) {
  PyObject* cls = classes[static_cast<int>(which)];
  return cls != nullptr ? cls : PyExc_RuntimeError;
}

void throw_python(PyObject* type, const char* format, ...) {
  va_list args;
  va_start(args, format);
  PyErr_FormatV(type, format, args);
  va_end(args);
  throw PythonError();
}

void set_python_error() noexcept {
  try {
    try {
      throw;
    } catch (const PythonError&) {
      if (!PyErr_Occurred()) PyErr_SetString(PyExc_SystemError, "an error was announced but none is set");
    } catch (nb::python_error& e) {
      e.restore();
    } catch (const nb::builtin_exception& e) {
      set_message(builtin_class(e.type()), e.what());
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
    } catch (const std::overflow_error& e) {
      set_message(PyExc_OverflowError, e.what());
    } catch (const std::invalid_argument& e) {
      set_message(PyExc_ValueError, e.what());
    } catch (const std::out_of_range& e) {
      set_message(PyExc_IndexError, e.what());
    } catch (...) {
      translate(std::current_exception(), nullptr);
    }
  } catch (const std::exception& e) {
    set_message(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_SystemError, "an unknown C++ exception reached the boundary");
  }
}

void bind_errors(nb::module_& m) {
  nb::register_exception_translator(translate);
  m.def("set_error_class", &set_error_class, nb::arg("name"), nb::arg("cls"),
        "Register the Python exception class that is raised for errors named `name`.");
}

}  // namespace anima
