// Python and NumPy scalars on their way to a device.
//
// Invariant: equal scalars (bit for bit, of one type, on one device) may share one buffer, which is
// then never donated or deleted from under the others: see may_donate().
#include <cstring>

#include "array/host_value.h"
#include "common/thread_state.h"

namespace anima {
namespace {

template <class T>
void store(Scalar& out, PJRT_Buffer_Type type, T value) {
  out.type = type;
  std::memcpy(out.bytes, &value, sizeof(value));
}

template <class T>
T load(const Scalar& scalar) {
  T value;
  std::memcpy(&value, scalar.bytes, sizeof(value));
  return value;
}

[[noreturn]] void throw_too_large(PyObject* value) {
  bool x64 = x64_enabled();
  const char* type = x64 ? "int64" : "int32";
  PyRef text = PyRef::steal(PyObject_Repr(value));
  if (!text) {  // thousands of digits
    PyErr_Clear();
    text = PyRef::steal(checked(PyUnicode_FromString("of thousands of digits")));
  }
  int overflow = 0;
  long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (x64) {
    throw_python(PyExc_OverflowError,
                 "Python int %U is too large for int64: pass a NumPy uint64 if it fits, or a float",
                 text.get());
  }
  if (overflow == 0 && number > 0 && number <= 0xffffffffLL) {
    throw_python(PyExc_OverflowError,
                 "Python int %U is too large for %s: enable 64-bit mode or pass a NumPy uint32", text.get(),
                 type);
  }
  throw_python(PyExc_OverflowError, "Python int %U is too large for %s: enable 64-bit mode or pass a float",
               text.get(), type);
}

void read_int(PyObject* value, Scalar& out) {
  int overflow = 0;
  long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (number == -1 && PyErr_Occurred()) throw PythonError();
  if (overflow != 0) throw_too_large(value);
  if (x64_enabled()) return store<int64_t>(out, PJRT_Buffer_Type_S64, number);
  if (number != static_cast<int32_t>(number)) throw_too_large(value);
  store(out, PJRT_Buffer_Type_S32, static_cast<int32_t>(number));
}

void read_float(PyObject* value, Scalar& out) {
  double number = PyFloat_AsDouble(value);
  if (number == -1.0 && PyErr_Occurred()) throw PythonError();
  if (x64_enabled()) return store(out, PJRT_Buffer_Type_F64, number);
  store(out, PJRT_Buffer_Type_F32, static_cast<float>(number));
}

void read_complex(PyObject* value, Scalar& out) {
  Py_complex number = PyComplex_AsCComplex(value);
  if (number.real == -1.0 && PyErr_Occurred()) throw PythonError();
  if (x64_enabled()) return store(out, PJRT_Buffer_Type_C128, number);
  float parts[2] = {static_cast<float>(number.real), static_cast<float>(number.imag)};
  std::memcpy(out.bytes, parts, sizeof(parts));
  out.type = PJRT_Buffer_Type_C64;
}

void narrow_scalar(Scalar& scalar) {
  PJRT_Buffer_Type type = canonical_type(scalar.type);
  if (type == scalar.type) return;
  Scalar wide = scalar;
  std::memset(scalar.bytes, 0, sizeof(scalar.bytes));
  switch (wide.type) {
    case PJRT_Buffer_Type_S64:
      return store(scalar, type, static_cast<int32_t>(load<int64_t>(wide)));
    case PJRT_Buffer_Type_U64:
      return store(scalar, type, static_cast<uint32_t>(load<uint64_t>(wide)));
    case PJRT_Buffer_Type_F64:
      return store(scalar, type, static_cast<float>(load<double>(wide)));
    default: {  // the one type left is C128
      Py_complex number = load<Py_complex>(wide);
      float parts[2] = {static_cast<float>(number.real), static_cast<float>(number.imag)};
      std::memcpy(scalar.bytes, parts, sizeof(parts));
      scalar.type = type;
    }
  }
}

void read_numpy_scalar(PyObject* value, Scalar& out) {
  if (Py_TYPE(value) ==
      &PyFloat32ArrType_Type) {  // the commonest first: the general way takes a dtype object
    return store(out, PJRT_Buffer_Type_F32, PyArrayScalar_VAL(value, Float32));
  }
  if (Py_TYPE(value) == &PyFloat64ArrType_Type) {
    store(out, PJRT_Buffer_Type_F64, PyArrayScalar_VAL(value, Float64));
    return narrow_scalar(out);
  }
  PyRef descr = PyRef::steal(checked(reinterpret_cast<PyObject*>(PyArray_DescrFromScalar(value))));
  out.type = type_of_dtype(descr.get());
  if (PyTypeNum_ISUSERDEF(as_descr(descr.get())->type_num)) {
    PyRef array = PyRef::steal(checked(PyArray_FromScalar(value, nullptr)));
    std::memcpy(out.bytes, PyArray_DATA(as_numpy(array.get())), host_itemsize(out.type));
  } else {
    PyArray_ScalarAsCtype(value, out.bytes);
  }
  narrow_scalar(out);
}

bool is_zero_dimensional(PyObject* value) {
  if (!PyArray_CheckExact(value)) return false;
  PyArrayObject* array = as_numpy(value);
  return PyArray_NDIM(array) == 0 && PyArray_ISNBO(PyArray_DESCR(array)->byteorder);
}

// A buffer for a scalar costs about a microsecond, and programs use the same few again and again.
constexpr size_t kCached = 512;

struct CachedScalar {
  Device* device;  // devices are never freed, so the address stays its own
  Scalar scalar;
  HostValue value;
};

CachedScalar& cache_slot(const Scalar& scalar, const Device* device) {
  static CachedScalar* slots = new CachedScalar[kCached]();  // never destroyed: avals hold Python objects
  uint64_t words[2];
  std::memcpy(words, scalar.bytes, sizeof(words));
  uint64_t hash = words[0] * 0x9e3779b97f4a7c15u + words[1] * 0xff51afd7ed558ccdu +
                  static_cast<uint64_t>(scalar.type) * 2 + scalar.weak + reinterpret_cast<size_t>(device);
  hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
  return slots[(hash >> 40) % kCached];
}

}  // namespace

bool read_scalar(PyObject* value, Scalar& out) {
  std::memset(&out, 0, sizeof(out));
  out.weak = true;
  if (PyFloat_CheckExact(value)) return read_float(value, out), true;
  if (PyLong_CheckExact(value)) return read_int(value, out), true;
  if (PyBool_Check(value)) {
    out.weak = false;
    return store<uint8_t>(out, PJRT_Buffer_Type_PRED, value == Py_True), true;
  }
  if (PyArray_IsScalar(value, Generic)) {  // before the subclasses: float64 is one of float
    out.weak = false;
    return read_numpy_scalar(value, out), true;
  }
  if (is_zero_dimensional(value)) {
    out.weak = false;
    out.type = type_of_dtype(reinterpret_cast<PyObject*>(PyArray_DESCR(as_numpy(value))));
    std::memcpy(out.bytes, PyArray_DATA(as_numpy(value)), host_itemsize(out.type));
    return narrow_scalar(out), true;
  }
  if (PyComplex_Check(value)) return read_complex(value, out), true;
  if (PyFloat_Check(value)) return read_float(value, out), true;
  if (PyLong_Check(value)) return read_int(value, out), true;
  return false;
}

HostValue put_scalar(const Scalar& scalar, Device* device) {
  CachedScalar& slot = cache_slot(scalar, device);
  if (slot.device == device && slot.value.buffer && !device->client->closed() &&
      std::memcmp(&slot.scalar, &scalar, sizeof(scalar)) == 0) {
    return slot.value;
  }
  HostValue made;
  made.aval = intern_aval(scalar.type, {}, scalar.weak);
  made.buffer =
      device->client->from_host(scalar.bytes, scalar.type, {}, device, HostSemantics::kCopy, nullptr);
  slot.device = device;
  std::memcpy(&slot.scalar, &scalar, sizeof(scalar));  // with its padding, which the comparison reads
  HostValue evicted = std::exchange(slot.value, made);
  return made;
}

}  // namespace anima
