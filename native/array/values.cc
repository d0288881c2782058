#include "array/values.h"

#include <cstring>
#include <memory>

#include "array/array.h"
#include "array/hooks.h"
#include "array/host_value.h"
#include "common/deferred.h"
#include "common/small_vector.h"
#include "common/thread_state.h"
#include "pjrt/contents.h"

namespace anima {
namespace {

constexpr size_t kMostItems = Contents::kMostBytes / sizeof(int64_t);

PyObject* array_of_numpy(PyArrayObject* array) {
  PyArray_Descr* descr = PyArray_DESCR(array);
  int number = descr->type_num;
  bool plain = PyTypeNum_ISBOOL(number) ||
               (PyTypeNum_ISNUMBER(number) && number != NPY_LONGDOUBLE && number != NPY_CLONGDOUBLE);
  if (!plain || !PyArray_ISNOTSWAPPED(array)) return nullptr;
  run_deferred_releases();
  HostValue made = put_host_value(as_object(array), default_device());
  return make_array(std::move(made.aval), std::move(made.buffer), false);
}

bool is_list(PyObject* value) { return PyList_CheckExact(value) || PyTuple_CheckExact(value); }

// Numbers in lists, as far as they were read. They are borrowed: nothing here runs Python code.
struct Items {
  PyTypeObject* type = nullptr;
  std::vector<int64_t> dims;
  SmallVector<PyObject*, 32> numbers;
};

// False unless everything below `value`, in which lists have `dims` from `depth` on, is a number of the type.
bool collect(PyObject* value, size_t depth, Items& items) {
  if (depth == items.dims.size()) {
    if (Py_TYPE(value) != items.type || items.numbers.size() == kMostItems) return false;
    items.numbers.push_back(value);
    return true;
  }
  if (!is_list(value) || PySequence_Fast_GET_SIZE(value) != items.dims[depth]) return false;
  for (Py_ssize_t i = 0; i < items.dims[depth]; i++) {
    if (!collect(PySequence_Fast_GET_ITEM(value, i), depth + 1, items)) return false;
  }
  return true;
}

bool read_items(PyObject* value, Items& items) {
  PyObject* first = value;
  while (is_list(first)) {
    Py_ssize_t count = PySequence_Fast_GET_SIZE(first);
    if (count == 0 || items.dims.size() == Contents::kMostDims) return false;
    items.dims.push_back(count);
    first = PySequence_Fast_GET_ITEM(first, 0);
  }
  items.type = Py_TYPE(first);
  return collect(value, 0, items);
}

template <class T, class Read>
bool write(const Items& items, Contents& contents, Read&& read) {
  T* to = static_cast<T*>(contents.data());
  for (size_t i = 0; i < items.numbers.size(); i++) {
    if (!read(items.numbers[i], to[i])) return false;
  }
  return true;
}

template <class T>
bool read_integer(PyObject* number, T& to) {
  int overflow = 0;
  long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
  to = static_cast<T>(value);
  return overflow == 0 && to == value;
}

template <class T>
bool read_real(PyObject* number, T& to) {
  to = static_cast<T>(PyFloat_AS_DOUBLE(number));
  return true;
}

bool write_numbers(const Items& items, Contents& contents) {
  switch (contents.type()) {
    case PJRT_Buffer_Type_PRED:
      return write<bool>(items, contents, [](PyObject* number, bool& to) {
        to = number == Py_True;
        return true;
      });
    case PJRT_Buffer_Type_S32:
      return write<int32_t>(items, contents, read_integer<int32_t>);
    case PJRT_Buffer_Type_S64:
      return write<int64_t>(items, contents, read_integer<int64_t>);
    case PJRT_Buffer_Type_F32:
      return write<float>(items, contents, read_real<float>);
    case PJRT_Buffer_Type_F64:
      return write<double>(items, contents, read_real<double>);
    default:
      return false;
  }
}

PJRT_Buffer_Type type_of(PyTypeObject* type) {
  if (type == &PyFloat_Type) return canonical_type(PJRT_Buffer_Type_F64);
  if (type == &PyLong_Type) return canonical_type(PJRT_Buffer_Type_S64);
  return type == &PyBool_Type ? PJRT_Buffer_Type_PRED : PJRT_Buffer_Type_INVALID;
}

PyObject* array_of_list(PyObject* value) {
  Items items;
  if (!read_items(value, items)) return nullptr;
  PJRT_Buffer_Type type = type_of(items.type);
  if (type == PJRT_Buffer_Type_INVALID) return nullptr;
  ContentsRef contents = Contents::make(type, items.dims);
  if (!write_numbers(items, *contents)) return nullptr;
  Device* device = default_device();  // may run Python code: the numbers are read by now
  if (!device->client->keeps_contents()) return nullptr;
  Client::Use use(device->client);
  AvalRef aval = intern_aval(type, items.dims, false);
  return make_array(std::move(aval), std::make_shared<Buffer>(device, std::move(contents)), false);
}

}  // namespace

PyObject* array_of_values(PyObject* value) {
  if (PyArray_CheckExact(value)) return array_of_numpy(as_numpy(value));
  return is_list(value) ? array_of_list(value) : nullptr;
}

}  // namespace anima
