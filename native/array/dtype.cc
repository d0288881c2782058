// The registry of element types: which NumPy dtype stands for which PJRT code.
//
// Invariant: a code, once registered, keeps its dtype. Look-up goes by kind and size for NumPy's own
// numbers (int64 has two type numbers in NumPy) and by type number for those of ml_dtypes.
#include "array/aval.h"
#include "array/numpy_api.h"
#include "common/thread_state.h"

namespace anima {
namespace {

constexpr int kCodes = 64;  // PJRT has 30; room for newer ones

struct DtypeRegistry {
  PyRef dtypes[kCodes];
  size_t itemsizes[kCodes] = {};
  std::vector<std::pair<int, PJRT_Buffer_Type>> user_types;  // (NumPy type number, code)
  PJRT_Buffer_Type numbers[128][5] = {};                     // by kind and log2 of the size
};

DtypeRegistry& registry() {
  static DtypeRegistry& r = *new DtypeRegistry;  // never destroyed: holds Python objects
  return r;
}

// Slot in `numbers` of one of NumPy's own number types, or null.
PJRT_Buffer_Type* number_slot(const PyArray_Descr* descr) {
  if (!PyTypeNum_ISNUMBER(descr->type_num) && descr->type_num != NPY_BOOL) return nullptr;
  // On some platforms a long double is as large as a double; it is still refused, as elsewhere.
  if (descr->type_num == NPY_LONGDOUBLE || descr->type_num == NPY_CLONGDOUBLE) return nullptr;
  int log2_size = 0;
  while ((npy_intp{1} << log2_size) < PyDataType_ELSIZE(descr)) ++log2_size;
  return &registry().numbers[static_cast<unsigned char>(descr->kind) & 127][log2_size];
}

[[noreturn]] void throw_unsupported(PyArray_Descr* descr) {
  const char* fix = "arrays hold booleans, integers, floats and complex numbers";
  switch (descr->kind) {
    case 'O':
      fix =
          "it holds Python objects; convert to numbers first, e.g. with .astype(float), or pass the "
          "elements as separate arguments";
      break;
    case 'U':
    case 'S':
    case 'T':
      fix =
          "text cannot be computed with; convert to numbers first, e.g. with .astype(float), or encode "
          "it as integers";
      break;
    case 'M':
    case 'm':
      fix =
          "dates and time spans cannot be computed with; convert to integers first, e.g. with .view('int64')";
      break;
    case 'f':
    case 'c':
      fix =
          "extended precision is not available; convert first, e.g. with .astype(float) or .astype(complex)";
      break;
    default:
      break;
  }
  throw_python(PyExc_TypeError, "dtype %S is not a valid array type: %s", descr, fix);
}

}  // namespace

void register_dtype(PJRT_Buffer_Type type, PyObject* numpy_dtype) {
  int code = static_cast<int>(type);
  if (!PyArray_DescrCheck(numpy_dtype)) {
    throw_python(PyExc_TypeError, "register_dtype: `np_dtype` must be a numpy.dtype, got %R", numpy_dtype);
  }
  PyRef& known = registry().dtypes[code];
  if (known) {
    if (PyArray_EquivTypes(as_descr(known.get()), as_descr(numpy_dtype))) return;
    throw_python(PyExc_ValueError, "register_dtype: code %d already stands for %R", code, known.get());
  }
  PyArray_Descr* descr = as_descr(numpy_dtype);
  if (PJRT_Buffer_Type* slot = number_slot(descr)) {
    *slot = type;
  } else if (PyTypeNum_ISUSERDEF(descr->type_num)) {
    registry().user_types.emplace_back(descr->type_num, type);
  } else {
    throw_python(PyExc_TypeError, "register_dtype: %R is not a number type", numpy_dtype);
  }
  known = PyRef::borrow(numpy_dtype);
  registry().itemsizes[code] = static_cast<size_t>(PyDataType_ELSIZE(descr));
}

PJRT_Buffer_Type known_type(PyObject* descriptor) {
  PyArray_Descr* descr = as_descr(descriptor);
  if (PyTypeNum_ISUSERDEF(descr->type_num)) {
    for (auto [number, code] : registry().user_types) {
      if (number == descr->type_num) return code;
    }
    return PJRT_Buffer_Type_INVALID;
  }
  PJRT_Buffer_Type* slot = number_slot(descr);
  return slot == nullptr ? PJRT_Buffer_Type_INVALID : *slot;
}

PJRT_Buffer_Type type_of_dtype(PyObject* numpy_dtype) {
  PyRef converted;
  if (!PyArray_DescrCheck(numpy_dtype)) {  // a scalar type such as numpy.float32, a name
    PyArray_Descr* descr = nullptr;
    if (PyArray_DescrConverter(numpy_dtype, &descr) == NPY_FAIL) throw PythonError();
    converted = PyRef::steal(reinterpret_cast<PyObject*>(descr));
    numpy_dtype = converted.get();
  }
  PJRT_Buffer_Type type = known_type(numpy_dtype);
  if (type == PJRT_Buffer_Type_INVALID) throw_unsupported(as_descr(numpy_dtype));
  return type;
}

PyObject* dtype_of_type(PJRT_Buffer_Type type) {
  int code = static_cast<int>(type);
  if (code <= 0 || code >= kCodes || !registry().dtypes[code]) {
    throw_python(PyExc_TypeError, "PJRT element type code %d has no dtype: it is not registered", code);
  }
  return registry().dtypes[code].get();
}

size_t host_itemsize(PJRT_Buffer_Type type) {
  dtype_of_type(type);
  return registry().itemsizes[static_cast<int>(type)];
}

PJRT_Buffer_Type canonical_type(PJRT_Buffer_Type type) {
  if (x64_enabled()) return type;
  switch (type) {
    case PJRT_Buffer_Type_S64:
      return PJRT_Buffer_Type_S32;
    case PJRT_Buffer_Type_U64:
      return PJRT_Buffer_Type_U32;
    case PJRT_Buffer_Type_F64:
      return PJRT_Buffer_Type_F32;
    case PJRT_Buffer_Type_C128:
      return PJRT_Buffer_Type_C64;
    default:
      return type;
  }
}

bool is_extended_dtype(PyObject* dtype) {
  if (PyArray_DescrCheck(dtype) || PyType_Check(dtype) || PyUnicode_Check(dtype)) return false;
  return PyObject_HasAttrString(dtype, "physical_element") != 0;
}

}  // namespace anima
