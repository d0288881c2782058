// Conversions of arrays to Python numbers.
#include <cstring>

#include "array/array_type.h"
#include "array/host_view.h"

namespace anima {
namespace {

template <class T>
T load(const void* data) {
  T value;
  std::memcpy(&value, data, sizeof(value));
  return value;
}

// The Python number for one element of NumPy's own types; null for other types.
PyObject* element_object(PJRT_Buffer_Type type, const void* data) {
  switch (type) {
    case PJRT_Buffer_Type_PRED:
      return PyBool_FromLong(load<uint8_t>(data) != 0);
    case PJRT_Buffer_Type_S8:
      return PyLong_FromLong(load<int8_t>(data));
    case PJRT_Buffer_Type_S16:
      return PyLong_FromLong(load<int16_t>(data));
    case PJRT_Buffer_Type_S32:
      return PyLong_FromLong(load<int32_t>(data));
    case PJRT_Buffer_Type_S64:
      return PyLong_FromLongLong(load<int64_t>(data));
    case PJRT_Buffer_Type_U8:
      return PyLong_FromLong(load<uint8_t>(data));
    case PJRT_Buffer_Type_U16:
      return PyLong_FromLong(load<uint16_t>(data));
    case PJRT_Buffer_Type_U32:
      return PyLong_FromLongLong(load<uint32_t>(data));
    case PJRT_Buffer_Type_U64:
      return PyLong_FromUnsignedLongLong(load<uint64_t>(data));
    case PJRT_Buffer_Type_F32:
      return PyFloat_FromDouble(load<float>(data));
    case PJRT_Buffer_Type_F64:
      return PyFloat_FromDouble(load<double>(data));
    default:
      return nullptr;
  }
}

// NumPy has no Python numbers for elements of ml_dtypes: small integers and floats go through wider ones.
PyRef with_python_numbers(PyRef numpy, PJRT_Buffer_Type type) {
  if (!PyTypeNum_ISUSERDEF(PyArray_DESCR(as_numpy(numpy.get()))->type_num)) return numpy;
  bool integer = type == PJRT_Buffer_Type_S4 || type == PJRT_Buffer_Type_U4 || type == PJRT_Buffer_Type_S2 ||
                 type == PJRT_Buffer_Type_U2;
  PyArray_Descr* wide = PyArray_DescrFromType(integer ? NPY_INT32 : NPY_FLOAT32);
  return PyRef::steal(checked(PyArray_CastToType(as_numpy(numpy.get()), wide, 0)));
}

// The only element, as a Python bool, int, float or complex.
PyRef only_element(ArrayObject* array) {
  refuse_extended(array);
  PJRT_Buffer_Type type = array->aval->type;
  if (in_host_memory(array)) {
    InPlace contents(await_buffer(array));
    PyObject* number = element_object(type, contents.address());
    if (number != nullptr) return PyRef::steal(number);
    if (PyErr_Occurred()) throw PythonError();
  }
  PyRef numpy = with_python_numbers(PyRef::steal(host_array(array)), type);
  return PyRef::steal(checked(PyObject_CallMethod(numpy.get(), "item", nullptr)));
}

PyRef scalar_element(ArrayObject* array) {
  if (array->shards.empty()) throw_deleted(array);
  if (!array->aval->dims.empty()) {
    throw_python(PyExc_TypeError,
                 "only scalar arrays (of shape ()) can be converted to Python scalars, got shape %S",
                 array->aval->shape.get());
  }
  return only_element(array);
}

}  // namespace

int array_as_bool(PyObject* self) {
  return guarded(-1, [&] {
    ArrayObject* array = as_array(self);
    if (array->shards.empty()) throw_deleted(array);
    if (array->aval->size == 0) {
      throw_python(
          PyExc_ValueError,
          "The truth value of an empty array is ambiguous. Use `array.size > 0` to check that an array "
          "is not empty.");
    }
    if (array->aval->size != 1) {
      throw_python(
          PyExc_ValueError,
          "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()");
    }
    return checked_status(PyObject_IsTrue(only_element(array).get()));
  });
}

PyObject* array_as_int(PyObject* self) {
  return guarded<PyObject*>(nullptr,
                            [&] { return checked(PyNumber_Long(scalar_element(as_array(self)).get())); });
}

PyObject* array_as_float(PyObject* self) {
  return guarded<PyObject*>(nullptr,
                            [&] { return checked(PyNumber_Float(scalar_element(as_array(self)).get())); });
}

PyObject* array_as_complex(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyRef element = scalar_element(as_array(self));
    PyObject* type = reinterpret_cast<PyObject*>(&PyComplex_Type);
    return checked(PyObject_CallOneArg(type, element.get()));
  });
}

PyObject* array_as_index(PyObject* self) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    ArrayObject* array = as_array(self);
    if (array->shards.empty()) throw_deleted(array);
    if (array->aval->dims.empty() && !array->aval->extended) {
      PyRef element = only_element(array);
      if (PyLong_CheckExact(element.get())) return element.release();
    }
    throw_python(PyExc_TypeError, "Only integer scalar arrays can be converted to a scalar index.");
  });
}

PyObject* array_item(PyObject* self, PyObject* args) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    ArrayObject* array = as_array(self);
    if (array->shards.empty()) throw_deleted(array);
    refuse_extended(array);
    if (PyTuple_GET_SIZE(args) == 0 && array->aval->size == 1) return only_element(array).release();
    if (PyTuple_GET_SIZE(args) == 0) {
      throw_python(PyExc_ValueError, "item() without an index needs an array of one element, got shape %S",
                   array->aval->shape.get());
    }
    PyRef numpy = with_python_numbers(PyRef::steal(host_array(array)), array->aval->type);
    PyRef method = PyRef::steal(checked(PyObject_GetAttrString(numpy.get(), "item")));
    return checked(PyObject_Call(method.get(), args, nullptr));
  });
}

PyObject* array_tolist(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    ArrayObject* array = as_array(self);
    refuse_extended(array);
    PyRef numpy = with_python_numbers(PyRef::steal(host_array(array)), array->aval->type);
    return checked(PyObject_CallMethod(numpy.get(), "tolist", nullptr));
  });
}

}  // namespace anima
