// The Python functions that bind LAPACK.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <set>
#include <stdexcept>
#include <string>

#include "bindings.h"
#include "common/py.h"
#include "ffi/handler.h"
#include "linalg/lapack.h"

namespace nb = nanobind;

namespace anima {

void bind_linalg(nb::module_& m) {
  m.def(
      "lapack_names",
      []() {
        std::set<std::string> names;
        for (const auto* f = linalg::AnyFunction::first(); f != nullptr; f = f->next()) {
          names.insert(f->name());
        }
        nb::list result;
        for (const std::string& name : names) result.append(name);
        return result;
      },
      "The names of the BLAS and LAPACK functions that kernels call.");
  m.def(
      "bind_lapack",
      [](const std::string& name, nb::handle capsule) {
        if (!PyCapsule_CheckExact(capsule.ptr())) {
          throw_python(PyExc_TypeError, "bind_lapack: `capsule` must be a capsule, got %R", capsule.ptr());
        }
        const char* signature = PyCapsule_GetName(capsule.ptr());
        void* pointer = PyCapsule_GetPointer(capsule.ptr(), signature);
        if (pointer == nullptr) throw PythonError();
        if (signature == nullptr || !ffi::is_code(pointer)) {
          throw_python(PyExc_ValueError, "bind_lapack: the capsule for '%s' holds no function of a signature",
                       name.c_str());
        }
        try {
          linalg::AnyFunction::bind(name, signature, pointer);
        } catch (const std::invalid_argument& error) {
          throw_python(PyExc_ValueError, "bind_lapack: %s", error.what());
        }
      },
      nb::arg("name"), nb::arg("capsule"),
      "Give kernels a function of BLAS or LAPACK: a capsule whose name is its signature, as Cython exports "
      "it. Raises ValueError if that is not the signature which they expect.");
}

}  // namespace anima
