// Interning of avals.
//
// Invariant: the table holds each live aval once, weakly; an aval takes itself out when it dies. A
// small cache keeps recent ones alive, so that a loop which drops and remakes an aval finds it.
#include "array/aval.h"

#include <unordered_map>
#include <utility>

#include "array/hooks.h"
#include "array/numpy_api.h"

namespace anima {
namespace {

constexpr size_t kRecent = 512;

struct AvalTable {
  std::unordered_multimap<size_t, const AvalInfo*> live;
  AvalRef recent[kRecent];
  std::vector<PyRef> extended;  // one object for each distinct extended dtype met
};

AvalTable& table() {
  static AvalTable& t = *new AvalTable;  // never destroyed: holds Python objects
  return t;
}

size_t mix(size_t hash, size_t value) {
  hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccdu;
}

size_t hash_aval(PJRT_Buffer_Type type, const std::vector<int64_t>& dims, bool weak, PyObject* extended) {
  size_t hash = mix(static_cast<size_t>(type) * 2 + (weak ? 1 : 0), reinterpret_cast<size_t>(extended));
  for (int64_t dim : dims) hash = mix(hash, static_cast<size_t>(dim));
  return hash ^ (hash >> 29);
}

bool matches(const AvalInfo& info, PJRT_Buffer_Type type, const std::vector<int64_t>& dims, bool weak,
             PyObject* extended) {
  return info.type == type && info.weak == weak && info.extended.get() == extended && info.dims == dims;
}

void forget_aval(const AvalInfo* info) {
  if (!Py_IsInitialized()) return;  // its Python objects are gone already
  WithGil gil;
  auto [begin, end] = table().live.equal_range(info->hash);
  for (auto it = begin; it != end; ++it) {
    if (it->second == info) {
      table().live.erase(it);
      break;
    }
  }
  delete info;
}

// The one object that stands for all equal extended dtypes; avals then compare it by identity.
PyObject* canonical_extended(PyObject* extended) {
  if (extended == nullptr) return nullptr;
  size_t count = table().extended.size();  // a comparison may run Python and add to the table
  for (size_t i = 0; i < count; ++i) {
    PyObject* known = table().extended[i].get();
    int equal = PyObject_RichCompareBool(known, extended, Py_EQ);
    if (equal < 0) throw PythonError();
    if (equal > 0) return known;
  }
  table().extended.push_back(PyRef::borrow(extended));
  return extended;
}

struct PhysicalElement {
  std::vector<int64_t> dims;
  PJRT_Buffer_Type type;
};

PhysicalElement physical_element(PyObject* extended) {
  PyRef pair = PyRef::steal(checked(PyObject_GetAttrString(extended, "physical_element")));
  if (!PyTuple_Check(pair.get()) || PyTuple_GET_SIZE(pair.get()) != 2) {
    throw_python(PyExc_TypeError, "physical_element of the extended dtype %R must be a pair (shape, dtype)",
                 extended);
  }
  return {dims_of(PyTuple_GET_ITEM(pair.get(), 0)), type_of_dtype(PyTuple_GET_ITEM(pair.get(), 1))};
}

PyRef shape_tuple(const std::vector<int64_t>& dims) {
  PyRef tuple = PyRef::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(dims.size()))));
  for (size_t i = 0; i < dims.size(); ++i) {
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), checked(PyLong_FromLongLong(dims[i])));
  }
  return tuple;
}

int64_t size_of(const std::vector<int64_t>& dims) {
  int64_t size = 1;
  for (int64_t dim : dims) {
    if (dim < 0)
      throw_python(PyExc_ValueError, "negative dimension %lld in a shape", static_cast<long long>(dim));
  }
  for (int64_t dim : dims) {
    if (dim == 0) return 0;
    if (__builtin_mul_overflow(size, dim, &size)) {
      throw_python(PyExc_ValueError, "a shape has more elements than 64 bits can count");
    }
  }
  return size;
}

AvalRef create_aval(PJRT_Buffer_Type type, const std::vector<int64_t>& dims, bool weak, PyObject* extended,
                    size_t hash) {
  auto info = std::make_unique<AvalInfo>();
  info->type = type;
  info->weak = weak;
  info->dims = dims;
  info->hash = hash;
  info->extended = PyRef::borrow(extended);
  info->size = size_of(dims);
  info->shape = shape_tuple(dims);
  info->dtype = PyRef::borrow(extended != nullptr ? extended : dtype_of_type(type));
  info->physical_dims = dims;
  if (extended != nullptr) {
    PhysicalElement element = physical_element(extended);
    if (element.type != type) {
      throw_python(PyExc_TypeError, "the extended dtype %R is stored as %S, not as %S", extended,
                   dtype_of_type(element.type), dtype_of_type(type));
    }
    info->physical_dims.insert(info->physical_dims.end(), element.dims.begin(), element.dims.end());
  }
  int64_t elements = size_of(info->physical_dims);
  if (__builtin_mul_overflow(static_cast<size_t>(elements), host_itemsize(type), &info->nbytes) ||
      info->nbytes > static_cast<size_t>(PY_SSIZE_T_MAX)) {
    throw_python(PyExc_ValueError, "an array of shape %S and dtype %S is larger than memory can be",
                 info->shape.get(), info->dtype.get());
  }
  return AvalRef(info.release(), forget_aval);
}

AvalRef find_live(PJRT_Buffer_Type type, const std::vector<int64_t>& dims, bool weak, PyObject* extended,
                  size_t hash) {
  auto [begin, end] = table().live.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (!matches(*it->second, type, dims, weak, extended)) continue;
    AvalRef found = it->second->weak_from_this().lock();
    if (found) return found;  // else another thread is just dropping it
  }
  return nullptr;
}

}  // namespace

AvalRef intern_aval(PJRT_Buffer_Type type, const std::vector<int64_t>& dims, bool weak, PyObject* extended) {
  extended = canonical_extended(extended);
  size_t hash = hash_aval(type, dims, weak, extended);
  AvalRef& recent = table().recent[hash % kRecent];
  if (recent && recent->hash == hash && matches(*recent, type, dims, weak, extended)) return recent;
  AvalRef found = find_live(type, dims, weak, extended, hash);
  if (!found) {
    AvalRef created = create_aval(type, dims, weak, extended, hash);
    // Making the tuple may have run a garbage collection, and that any code, which may have interned it too.
    found = find_live(type, dims, weak, extended, hash);
    if (!found) {
      table().live.emplace(hash, created.get());
      found = std::move(created);
    }
  }
  AvalRef evicted = std::exchange(table().recent[hash % kRecent], found);
  return found;
}

AvalRef intern_aval(PyObject* shape, PyObject* dtype, bool weak) {
  std::vector<int64_t> dims = dims_of(shape);
  if (is_extended_dtype(dtype)) return intern_aval(physical_element(dtype).type, dims, weak, dtype);
  return intern_aval(type_of_dtype(dtype), dims, weak);
}

PyObject* python_aval(const AvalInfo& aval) {
  if (!aval.aval) {
    PyObject* weak = aval.weak ? Py_True : Py_False;
    PyObject* arguments[] = {aval.shape.get(), aval.dtype.get(), weak};
    PyRef factory = hook(&Hooks::make_aval, "make_aval");
    aval.aval = PyRef::steal(checked(PyObject_Vectorcall(factory.get(), arguments, 3, nullptr)));
  }
  return aval.aval.new_ref();
}

std::vector<int64_t> dims_of(PyObject* shape) {
  PyRef items = PyRef::steal(PySequence_Fast(shape, "a shape must be a sequence of integers"));
  checked(items.get());
  Py_ssize_t count = PySequence_Fast_GET_SIZE(items.get());
  std::vector<int64_t> dims(static_cast<size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyRef number = PyRef::steal(checked(PyNumber_Index(PySequence_Fast_GET_ITEM(items.get(), i))));
    int64_t dim = PyLong_AsLongLong(number.get());
    if (dim == -1 && PyErr_Occurred()) throw PythonError();
    if (dim < 0)
      throw_python(PyExc_ValueError, "negative dimension %lld in shape %R", static_cast<long long>(dim),
                   shape);
    dims[static_cast<size_t>(i)] = dim;
  }
  return dims;
}

}  // namespace anima
