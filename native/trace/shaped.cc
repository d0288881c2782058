// What the aval of an array holds: `core.aval.ShapedArray` derives from this type and says the rest.
//
// Invariant: fields never change, and avals are equal where their fields are. The garbage collector does not
// look at them: what they hold (numbers, dtypes, shardings) holds no avals.
#include <Python.h>
#include <structmember.h>

#include <algorithm>

#include "common/py.h"
#include "trace/trace.h"

namespace anima {
namespace {

struct Shaped {
  PyObject_HEAD PyObject* shape;
  PyObject* dtype;
  PyObject* weak_type;
  PyObject* sharding;
  PyObject* varying;
  Py_hash_t hash;  // -1 until it is asked for
};

PyTypeObject* fields_type = nullptr;  // these four: owned for the life of the process
PyTypeObject* shaped_type = nullptr;  // ShapedArray
PyObject* as_dtype = nullptr;         // from a scalar type or a dtype's name to the dtype
PyObject* no_axes = nullptr;

Shaped* cast(PyObject* object) { return reinterpret_cast<Shaped*>(object); }

// Whether a sharding is what types without one say they have: one over a mesh that has no axes.
bool says_nothing(PyObject* sharding) {
  if (sharding == nullptr || sharding == Py_None) return true;
  PyRef mesh = PyRef::steal(PyObject_GetAttrString(sharding, "mesh"));
  PyRef empty = PyRef::steal(mesh ? PyObject_GetAttrString(mesh.get(), "empty") : nullptr);
  const bool none = empty && PyObject_IsTrue(empty.get()) == 1;
  PyErr_Clear();  // other kinds of sharding have no mesh
  return none;
}

// Null values stand for defaults. Returns null with an exception set.
PyObject* make(PyTypeObject* type, PyObject* shape, PyObject* dtype, PyObject* weak, PyObject* sharding,
               PyObject* varying) {
  // The cheapest test that tells a scalar type or a name from a dtype.
  PyRef converted;
  if (as_dtype != nullptr && (PyCallable_Check(dtype) || PyUnicode_CheckExact(dtype))) {
    converted = PyRef::steal(PyObject_CallOneArg(as_dtype, dtype));
    if (!converted) return nullptr;
    dtype = converted.get();
  }
  const int weak_type = weak == nullptr ? 0 : PyObject_IsTrue(weak);
  if (weak_type < 0) return nullptr;
  PyObject* made = type->tp_alloc(type, 0);
  if (made == nullptr) return nullptr;
  Shaped* fields = cast(made);
  fields->shape = Py_NewRef(shape);
  fields->dtype = Py_NewRef(dtype);
  fields->weak_type = Py_NewRef(weak_type ? Py_True : Py_False);
  fields->sharding = Py_NewRef(says_nothing(sharding) ? Py_None : sharding);
  fields->varying = Py_NewRef(varying == nullptr ? no_axes : varying);
  fields->hash = -1;
  return made;
}

const char* const kFieldNames[] = {"shape", "dtype", "weak_type", "sharding", "varying", nullptr};
PyObject* interned[5];  // the same as Python strings

PyObject* make_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject *shape, *dtype, *weak = nullptr, *sharding = nullptr, *varying = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|OOO:ShapedArray", const_cast<char**>(kFieldNames),
                                   &shape, &dtype, &weak, &sharding, &varying)) {
    return nullptr;
  }
  return make(type, shape, dtype, weak, sharding, varying);
}

PyObject* vectorcall(PyObject* type, PyObject* const* args, size_t flagged, PyObject* names) {
  const Py_ssize_t count = PyVectorcall_NARGS(flagged);
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  PyObject* fields[5] = {};
  bool usual = count + named <= 5;
  for (Py_ssize_t i = 0; usual && i < count; i++) fields[i] = args[i];
  for (Py_ssize_t i = 0; usual && i < named; i++) {
    // The names in programs are interned.
    PyObject** field = std::find(interned, interned + 5, PyTuple_GET_ITEM(names, i));
    usual = field != interned + 5 && fields[field - interned] == nullptr;
    if (usual) fields[field - interned] = args[count + i];
  }
  if (!usual || fields[0] == nullptr || fields[1] == nullptr) {
    return call_slowly(type, args, static_cast<size_t>(count), names);
  }
  return make(reinterpret_cast<PyTypeObject*>(type), fields[0], fields[1], fields[2], fields[3], fields[4]);
}

void dealloc(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  Shaped* fields = cast(object);
  Py_XDECREF(fields->shape);
  Py_XDECREF(fields->dtype);
  Py_XDECREF(fields->weak_type);
  Py_XDECREF(fields->sharding);
  Py_XDECREF(fields->varying);
  type->tp_free(object);
  Py_DECREF(type);
}

Py_hash_t hash(PyObject* object) {
  Shaped* fields = cast(object);
  if (fields->hash != -1) return fields->hash;
  const Py_hash_t shape = PyObject_Hash(fields->shape);
  const Py_hash_t dtype = shape == -1 ? -1 : PyObject_Hash(fields->dtype);
  if (dtype == -1) return -1;
  size_t mixed = (static_cast<size_t>(shape) * 0x9e3779b97f4a7c15u) ^ (static_cast<size_t>(dtype) << 1);
  mixed ^= (mixed >> 29) ^ (fields->weak_type == Py_True ? 1 : 0);
  fields->hash = static_cast<Py_hash_t>(mixed) == -1 ? -2 : static_cast<Py_hash_t>(mixed);
  return fields->hash;
}

// 1 or 0, or -1 with an exception set.
int equal(Shaped* a, Shaped* b) {
  PyObject* const pairs[][2] = {{a->shape, b->shape},
                                {a->dtype, b->dtype},
                                {a->weak_type, b->weak_type},
                                {a->sharding, b->sharding},
                                {a->varying, b->varying}};
  for (const auto& pair : pairs) {
    const int same = pair[0] == pair[1] ? 1 : PyObject_RichCompareBool(pair[0], pair[1], Py_EQ);
    if (same != 1) return same;
  }
  return 1;
}

PyObject* compare(PyObject* a, PyObject* b, int operation) {
  if (operation != Py_EQ && operation != Py_NE) Py_RETURN_NOTIMPLEMENTED;
  const int same = a == b ? 1 : Py_TYPE(b) != shaped_type ? 0 : equal(cast(a), cast(b));
  if (same < 0) return nullptr;
  return PyBool_FromLong(same == (operation == Py_EQ));
}

PyObject* get_ndim(PyObject* object, void*) {
  const Py_ssize_t rank = PyObject_Size(cast(object)->shape);
  return rank < 0 ? nullptr : PyLong_FromSsize_t(rank);
}

PyMemberDef members[] = {{"shape", T_OBJECT_EX, offsetof(Shaped, shape), READONLY, nullptr},
                         {"dtype", T_OBJECT_EX, offsetof(Shaped, dtype), READONLY, nullptr},
                         {"weak_type", T_OBJECT_EX, offsetof(Shaped, weak_type), READONLY, nullptr},
                         {"given_sharding", T_OBJECT_EX, offsetof(Shaped, sharding), READONLY, nullptr},
                         {"varying", T_OBJECT_EX, offsetof(Shaped, varying), READONLY, nullptr},
                         {}};
PyGetSetDef properties[] = {{"ndim", get_ndim, nullptr, nullptr, nullptr}, {}};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("ShapedFields(shape, dtype, weak_type=False, sharding=None, varying=...)\n--\n\n"
                       "The fields of `ShapedArray`.")},
    {Py_tp_new, reinterpret_cast<void*>(make_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_hash, reinterpret_cast<void*>(hash)},
    {Py_tp_richcompare, reinterpret_cast<void*>(compare)},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, nullptr}};
PyType_Spec spec = {"anima._native.ShapedFields", sizeof(Shaped), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                    slots};

}  // namespace

PyObject* create_shaped_fields_type() {
  fields_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
  no_axes = checked(PyFrozenSet_New(nullptr));
  for (size_t i = 0; i < 5; i++) interned[i] = checked(PyUnicode_InternFromString(kFieldNames[i]));
  return reinterpret_cast<PyObject*>(fields_type);
}

PyObject* set_shaped_array(PyObject*, PyObject* args) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *type, *converter, *axes;
    if (!PyArg_ParseTuple(args, "O!OO:set_shaped_array", &PyType_Type, &type, &converter, &axes))
      throw PythonError();
    if (!PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), fields_type))
      throw_python(PyExc_TypeError, "set_shaped_array: %R does not derive from ShapedFields", type);
    shaped_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
    as_dtype = Py_NewRef(converter);
    no_axes = Py_NewRef(axes);
    shaped_type->tp_vectorcall = vectorcall;
    Py_RETURN_NONE;
  });
}

}  // namespace anima
