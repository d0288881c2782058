// What can be asked of structures, and how they are made from one another.
#include "tree/tree.h"

namespace anima {
namespace {

using Same = bool (*)(PyObject*, PyObject*);

bool equal_objects(PyObject* a, PyObject* b) {
  int equal = PyObject_RichCompareBool(a, b, Py_EQ);
  if (equal < 0) throw PythonError();
  return equal == 1;
}

bool same_nodes(const TreeDef& a, const TreeDef& b, Same same) {
  if (&a == &b) return true;
  if (a.nodes.size() != b.nodes.size()) return false;
  for (size_t i = 0; i < a.nodes.size(); i++) {
    const Node &x = a.nodes[i], &y = b.nodes[i];
    if (x.kind != y.kind || x.arity != y.arity || x.custom != y.custom || !x.data != !y.data) return false;
  }
  for (size_t i = 0; i < a.nodes.size(); i++) {
    PyObject *x = a.nodes[i].data.get(), *y = b.nodes[i].data.get();
    if (x != y && !same(x, y)) return false;
  }
  return true;
}

// The hash of aux data, 0 if it has none: structures with such data are compared all the same.
Py_uhash_t data_hash(PyObject* data) {
  Py_hash_t hash = PyObject_Hash(data);
  if (hash == -1 && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw PythonError();
    PyErr_Clear();
    return 0;
  }
  return static_cast<Py_uhash_t>(hash);
}

}  // namespace

bool same_structure(const TreeDef& a, const TreeDef& b) { return same_nodes(a, b, equal_objects); }
bool same_signature(const TreeDef& a, const TreeDef& b) { return same_nodes(a, b, same_value); }

Py_hash_t treedef_hash(const TreeDef& def) {
  if (def.hash != -1) return def.hash;
  Py_uhash_t hash = 0x345678;
  for (const Node& node : def.nodes) {
    hash = (hash ^ (static_cast<Py_uhash_t>(node.arity) * 16 + static_cast<Py_uhash_t>(node.kind))) * 1000003;
    if (node.data) hash = (hash ^ data_hash(node.data.get())) * 1000003;
  }
  Py_hash_t result = static_cast<Py_hash_t>(hash);
  if (result == -1) result = -2;
  def.hash = result;
  return result;
}

PyRef leaf_treedef() { return make_treedef(std::vector<Node>(1)); }

PyRef tuple_treedef(const std::vector<const TreeDef*>& children) {
  std::vector<Node> nodes(1);
  Node top;
  top.kind = NodeKind::kTuple;
  top.arity = static_cast<int64_t>(children.size());
  top.num_leaves = 0;
  for (const TreeDef* child : children) {
    top.num_leaves += leaf_count(*child);
    top.num_nodes += child->nodes[0].num_nodes;
    nodes.insert(nodes.end(), child->nodes.begin(), child->nodes.end());
  }
  nodes[0] = std::move(top);
  return make_treedef(std::move(nodes));
}

PyRef compose(const TreeDef& outer, const TreeDef& inner) {
  std::vector<Node> nodes;
  int64_t added = inner.nodes[0].num_nodes - 1;
  int64_t total;
  if (__builtin_mul_overflow(leaf_count(outer), added, &total) ||
      __builtin_add_overflow(outer.nodes[0].num_nodes, total, &total)) {
    throw_python(PyExc_OverflowError, "compose(): the structure has too many nodes");
  }
  nodes.reserve(static_cast<size_t>(total));
  for (const Node& node : outer.nodes) {
    if (node.kind == NodeKind::kLeaf) {
      nodes.insert(nodes.end(), inner.nodes.begin(), inner.nodes.end());
      continue;
    }
    Node& copy = nodes.emplace_back(node);
    copy.num_nodes += node.num_leaves * added;
    copy.num_leaves *= leaf_count(inner);
  }
  return make_treedef(std::move(nodes));
}

std::vector<PyRef> children_of(const TreeDef& def) {
  std::vector<PyRef> children;
  auto end = def.nodes.end();
  for (auto child = def.nodes.begin() + 1; child != end; child += child->num_nodes) {
    children.push_back(make_treedef(std::vector<Node>(child, child + child->num_nodes)));
  }
  return children;
}

PyRef node_data(const TreeDef& def) {
  const Node& top = def.nodes[0];
  PyObject* type = nullptr;
  PyRef data = PyRef::borrow(Py_None);
  switch (top.kind) {
    case NodeKind::kLeaf:
      return data;
    case NodeKind::kNone:
      type = reinterpret_cast<PyObject*>(Py_TYPE(Py_None));
      break;
    case NodeKind::kTuple:
      type = reinterpret_cast<PyObject*>(&PyTuple_Type);
      break;
    case NodeKind::kList:
      type = reinterpret_cast<PyObject*>(&PyList_Type);
      break;
    case NodeKind::kNamedTuple:
      type = top.data.get();
      break;
    case NodeKind::kDict:
      type = reinterpret_cast<PyObject*>(&PyDict_Type);
      data = PyRef::steal(checked(PySequence_List(top.data.get())));
      break;
    case NodeKind::kOrderedDict:
      type = reinterpret_cast<PyObject*>(&PyODict_Type);
      data = top.data;
      break;
    case NodeKind::kDefaultDict:
      type = reinterpret_cast<PyObject*>(default_dict_type());
      data = top.data;
      break;
    default:
      type = reinterpret_cast<PyObject*>(top.custom->type);
      data = top.data;
  }
  return PyRef::steal(checked(PyTuple_Pack(2, type, data.get())));
}

}  // namespace anima
