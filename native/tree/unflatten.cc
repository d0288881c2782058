// From leaves back to an object.
#include "tree/tree.h"

namespace anima {
namespace {

class Builder {
 public:
  Builder(const TreeDef& def, PyObject* const* leaves) : node_(def.nodes.data()), leaf_(leaves) {}

  PyRef build() {
    const Node& node = *node_++;
    if (node.kind == NodeKind::kLeaf) return PyRef::borrow(*leaf_++);
    if (node.kind == NodeKind::kNone) return PyRef::borrow(Py_None);
    RecursionGuard guard;
    switch (node.kind) {
      case NodeKind::kTuple:
        return build_tuple(node);
      case NodeKind::kList:
        return build_list(node);
      case NodeKind::kDict:
        return fill(node, PyRef::steal(checked(PyDict_New())));
      case NodeKind::kOrderedDict:
        return fill(node, PyRef::steal(checked(PyObject_CallNoArgs(as_object(&PyODict_Type)))));
      case NodeKind::kDefaultDict:
        return fill(node, PyRef::steal(checked(PyObject_CallOneArg(as_object(default_dict_type()),
                                                                   PyTuple_GET_ITEM(node.data.get(), 0)))));
      case NodeKind::kNamedTuple:
        return PyRef::steal(checked(PyObject_CallObject(node.data.get(), build_tuple(node).get())));
      case NodeKind::kDataclass:
        return build_dataclass(node);
      default:
        return build_custom(node);
    }
  }

 private:
  static PyObject* as_object(PyTypeObject* type) { return reinterpret_cast<PyObject*>(type); }

  PyRef build_tuple(const Node& node) {
    Unfinished tuple(PyTuple_New(node.arity));
    for (Py_ssize_t i = 0; i < node.arity; i++) PyTuple_SET_ITEM(tuple.get(), i, build().release());
    return tuple.finish();
  }

  PyRef build_list(const Node& node) {
    Unfinished list(PyList_New(node.arity));
    for (Py_ssize_t i = 0; i < node.arity; i++) PyList_SET_ITEM(list.get(), i, build().release());
    return list.finish();
  }

  PyRef fill(const Node& node, PyRef dict) {
    PyObject* keys = keys_of(node);
    for (Py_ssize_t i = 0; i < node.arity; i++) {
      PyRef child = build();
      PyObject* key = PyTuple_GET_ITEM(keys, i);
      int failed = node.kind == NodeKind::kDict ? PyDict_SetItem(dict.get(), key, child.get())
                                                : PyObject_SetItem(dict.get(), key, child.get());
      if (failed != 0) throw PythonError();
    }
    return dict;
  }

  PyRef build_dataclass(const Node& node) {
    PyRef fields = PyRef::steal(checked(PyDict_New()));
    for (Py_ssize_t i = 0; i < node.arity; i++) {
      PyRef child = build();
      set_field(fields.get(), PyTuple_GET_ITEM(node.custom->data_fields, i), child.get());
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(node.data.get()); i++) {
      set_field(fields.get(), PyTuple_GET_ITEM(node.custom->meta_fields, i),
                PyTuple_GET_ITEM(node.data.get(), i));
    }
    PyRef none = PyRef::steal(checked(PyTuple_New(0)));
    return PyRef::steal(checked(PyObject_Call(as_object(node.custom->type), none.get(), fields.get())));
  }

  static void set_field(PyObject* fields, PyObject* name, PyObject* value) {
    if (PyDict_SetItem(fields, name, value) != 0) throw PythonError();
  }

  PyRef build_custom(const Node& node) {
    PyRef children = build_tuple(node);
    PyObject* args[2] = {node.data.get(), children.get()};
    return PyRef::steal(checked(PyObject_Vectorcall(node.custom->from_iterable, args, 2, nullptr)));
  }

  const Node* node_;
  PyObject* const* leaf_;
};

}  // namespace

PyObject* unflatten(const TreeDef& def, PyObject* const* leaves, size_t count) {
  size_t wanted = static_cast<size_t>(leaf_count(def));
  if (count != wanted) {
    throw_python(PyExc_ValueError, "too %s leaves for %s: expected %zu, got %zu",
                 count < wanted ? "few" : "many", shortened(treedef_repr(def)).c_str(), wanted, count);
  }
  return Builder(def, leaves).build().release();
}

}  // namespace anima
