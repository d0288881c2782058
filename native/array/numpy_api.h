// NumPy's C interface, shared by the files of this folder.
//
// NumPy's own headers, not the buffer protocol: reading shape, dtype and address of an array is then
// a few loads (the protocol builds a format string), and the dtypes of ml_dtypes have no format at all.
#pragma once

#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL anima_numpy_api
#ifndef ANIMA_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

#include "common/py.h"

namespace anima {

inline PyArrayObject* as_numpy(PyObject* o) { return reinterpret_cast<PyArrayObject*>(o); }
inline PyObject* as_object(PyArrayObject* a) { return reinterpret_cast<PyObject*>(a); }
inline PyArray_Descr* as_descr(PyObject* o) { return reinterpret_cast<PyArray_Descr*>(o); }

// Throws PythonError if a C-API call that returns a status has failed.
inline int checked_status(int status) {
  if (status < 0) throw PythonError();
  return status;
}

}  // namespace anima
