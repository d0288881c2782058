#include "tree/registry.h"

#include <string>
#include <unordered_map>
#include <utility>

namespace anima {
namespace {

// Never destroyed: objects may outlive the module's statics.
std::unordered_map<PyTypeObject*, const Registration*>& registrations() {
  static auto& map = *new std::unordered_map<PyTypeObject*, const Registration*>;
  return map;
}

PyTypeObject* default_dict = nullptr;  // owned for the life of the process

KeyClasses& stored_key_classes() {
  static auto& classes = *new KeyClasses;
  return classes;
}

bool is_named_tuple(PyTypeObject* type) {
  if (!PyType_FastSubclass(type, Py_TPFLAGS_TUPLE_SUBCLASS)) return false;
  PyRef fields = PyRef::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "_fields"));
  if (!fields) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) throw PythonError();
    PyErr_Clear();
    return false;
  }
  return PyTuple_Check(fields.get());
}

bool is_builtin_node(PyTypeObject* type) {
  return type == &PyTuple_Type || type == &PyDict_Type || type == &PyList_Type || type == Py_TYPE(Py_None) ||
         type == &PyODict_Type || type == default_dict_type();
}

// Adds a copy of `made` and takes references to what it names.
void add(Registration made) {
  if (is_builtin_node(made.type) || registrations().count(made.type) != 0) {
    throw_python(PyExc_ValueError, "the type %R is a pytree node already; it cannot be registered again",
                 reinterpret_cast<PyObject*>(made.type));
  }
  Py_INCREF(made.type);
  for (PyObject* part :
       {made.to_iterable, made.from_iterable, made.to_keyed, made.data_fields, made.meta_fields}) {
    Py_XINCREF(part);
  }
  registrations().emplace(made.type, new Registration(made));
}

PyTypeObject* checked_type(const char* function, PyObject* type) {
  if (!PyType_Check(type))
    throw_python(PyExc_TypeError, "%s(): `type` must be a class, got %R", function, type);
  return reinterpret_cast<PyTypeObject*>(type);
}

void check_callable(const char* parameter, PyObject* function) {
  if (!PyCallable_Check(function)) {
    throw_python(PyExc_TypeError, "register_node(): `%s` must be callable, got %R", parameter, function);
  }
}

PyRef names_tuple(const char* parameter, PyObject* names) {
  // A lone string is a sequence of its letters, which is never what was meant.
  PyRef tuple = PyRef::steal(PyUnicode_Check(names) ? nullptr : PySequence_Tuple(names));
  if (!tuple && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError)) throw PythonError();
  bool good = bool(tuple);
  for (Py_ssize_t i = 0; good && i < PyTuple_GET_SIZE(tuple.get()); i++) {
    good = PyUnicode_Check(PyTuple_GET_ITEM(tuple.get(), i));
  }
  if (!good) {
    throw_python(PyExc_TypeError, "register_dataclass(): `%s` must be a sequence of field names, got %R",
                 parameter, names);
  }
  return tuple;
}

}  // namespace

void import_default_dict() {
  PyRef module = PyRef::steal(checked(PyImport_ImportModule("collections")));
  default_dict =
      reinterpret_cast<PyTypeObject*>(checked(PyObject_GetAttrString(module.get(), "defaultdict")));
}

PyTypeObject* default_dict_type() { return default_dict; }

const Registration* find_registration(PyTypeObject* type) {
  auto found = registrations().find(type);
  return found == registrations().end() ? nullptr : found->second;
}

NodeType classify(PyTypeObject* type) {
  if (type == &PyTuple_Type) return {NodeKind::kTuple, nullptr};
  if (type == &PyDict_Type) return {NodeKind::kDict, nullptr};
  if (type == &PyList_Type) return {NodeKind::kList, nullptr};
  if (type == Py_TYPE(Py_None)) return {NodeKind::kNone, nullptr};
  if (const Registration* custom = find_registration(type)) return {custom->kind, custom};
  if (PyType_FastSubclass(type, Py_TPFLAGS_DICT_SUBCLASS)) {
    if (type == &PyODict_Type) return {NodeKind::kOrderedDict, nullptr};
    if (type == default_dict_type()) return {NodeKind::kDefaultDict, nullptr};
  }
  if (is_named_tuple(type)) return {NodeKind::kNamedTuple, nullptr};
  return {NodeKind::kLeaf, nullptr};
}

void register_custom(PyObject* type, PyObject* to_iterable, PyObject* from_iterable, PyObject* to_keyed) {
  PyTypeObject* checked = checked_type("register_node", type);
  check_callable("to_iterable", to_iterable);
  check_callable("from_iterable", from_iterable);
  if (to_keyed != nullptr) check_callable("to_iterable_with_keys", to_keyed);
  add({NodeKind::kCustom, checked, to_iterable, from_iterable, to_keyed, nullptr, nullptr});
}

void register_dataclass(PyObject* type, PyObject* data_fields, PyObject* meta_fields) {
  PyTypeObject* checked = checked_type("register_dataclass", type);
  PyRef data = names_tuple("data_fields", data_fields);
  PyRef meta = names_tuple("meta_fields", meta_fields);
  add({NodeKind::kDataclass, checked, nullptr, nullptr, nullptr, data.get(), meta.get()});
}

const KeyClasses& key_classes() {
  if (stored_key_classes().sequence == nullptr) {
    throw_python(PyExc_RuntimeError, "key paths need set_key_classes() to have been called");
  }
  return stored_key_classes();
}

KeyClasses set_key_classes(const KeyClasses& classes) {
  for (PyObject* made : {classes.sequence, classes.dict, classes.attribute, classes.flat_index})
    Py_INCREF(made);
  return std::exchange(stored_key_classes(), classes);
}

}  // namespace anima
