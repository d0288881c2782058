// Flattening against a known structure, for calls that look like the one before.
// No TreeDef is built and no keys are sorted.
#include "tree/dict_reader.h"
#include "tree/tree.h"

namespace anima {
namespace {

class Matcher {
 public:
  Matcher(const TreeDef& def, PyTypeObject* leaf_type, Leaves& leaves)
      : node_(def.nodes.data()), leaf_type_(leaf_type), leaves_(leaves) {}

  bool visit(PyObject* object) {
    const Node& node = *node_++;
    if (node.kind == NodeKind::kLeaf) {
      PyTypeObject* type = Py_TYPE(object);
      if (type != leaf_type_ && classify(type).kind != NodeKind::kLeaf) return false;
      leaves_.emplace_back(PyRef::borrow(object));
      return true;
    }
    if (node.kind == NodeKind::kNone) return object == Py_None;
    RecursionGuard guard;
    return visit_children(node, object);
  }

 private:
  bool visit_children(const Node& node, PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    switch (node.kind) {
      case NodeKind::kTuple:
        return type == &PyTuple_Type && visit_items(node, object);
      case NodeKind::kNamedTuple:
        return reinterpret_cast<PyObject*>(type) == node.data.get() && visit_items(node, object);
      case NodeKind::kList:
        return type == &PyList_Type && visit_list(node, object);
      case NodeKind::kDict:
        return type == &PyDict_Type && visit_dict(node, object, keys_of(node));
      case NodeKind::kOrderedDict:
        return type == &PyODict_Type && visit_ordered_dict(node, object);
      case NodeKind::kDefaultDict:
        return type == default_dict_type() && visit_default_dict(node, object);
      case NodeKind::kDataclass:
        return type == node.custom->type && visit_dataclass(node, object);
      default:
        return type == node.custom->type && visit_custom(node, object);
    }
  }

  bool visit_items(const Node& node, PyObject* tuple) {
    if (PyTuple_GET_SIZE(tuple) != node.arity) return false;
    for (Py_ssize_t i = 0; i < node.arity; i++) {
      if (!visit(PyTuple_GET_ITEM(tuple, i))) return false;
    }
    return true;
  }

  bool visit_list(const Node& node, PyObject* list) {
    for (Py_ssize_t i = 0; i < node.arity; i++) {
      if (PyList_GET_SIZE(list) != node.arity) return false;
      PyRef child = PyRef::borrow(PyList_GET_ITEM(list, i));
      if (!visit(child.get())) return false;
    }
    return PyList_GET_SIZE(list) == node.arity;
  }

  bool visit_dict(const Node& node, PyObject* dict, PyObject* keys) {
    if (PyDict_GET_SIZE(dict) != node.arity) return false;
    DictReader reader(dict);
    for (Py_ssize_t i = 0; i < node.arity; i++) {
      PyRef child = reader.next(PyTuple_GET_ITEM(keys, i));
      if (!child || !visit(child.get())) return false;
    }
    return true;
  }

  bool visit_ordered_dict(const Node& node, PyObject* dict) {
    PyRef keys = PyRef::steal(checked(PySequence_Tuple(dict)));
    return same_value(keys.get(), node.data.get()) && visit_dict(node, dict, keys.get());
  }

  bool visit_default_dict(const Node& node, PyObject* dict) {
    PyRef factory = PyRef::steal(checked(PyObject_GetAttrString(dict, "default_factory")));
    return same_value(factory.get(), PyTuple_GET_ITEM(node.data.get(), 0)) &&
           visit_dict(node, dict, keys_of(node));
  }

  bool visit_dataclass(const Node& node, PyObject* object) {
    const Registration& custom = *node.custom;
    if (!same_value(meta_values(object, custom).get(), node.data.get())) return false;
    for (Py_ssize_t i = 0; i < node.arity; i++) {
      PyRef child = PyRef::steal(checked(PyObject_GetAttr(object, PyTuple_GET_ITEM(custom.data_fields, i))));
      if (!visit(child.get())) return false;
    }
    return true;
  }

  bool visit_custom(const Node& node, PyObject* object) {
    Parts parts = take_apart(object, *node.custom, false);
    return same_value(parts.aux.get(), node.data.get()) && visit_items(node, parts.children.get());
  }

  const Node* node_;
  PyTypeObject* leaf_type_;
  Leaves& leaves_;
};

}  // namespace

bool flatten_like(const TreeDef& def, PyObject* tree, PyTypeObject* leaf_type, Leaves& leaves) {
  return Matcher(def, leaf_type, leaves).visit(tree);
}

}  // namespace anima
