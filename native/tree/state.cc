// Structures as plain Python values, for pickling.
//
// Invariant: nothing that a state can hold leads to a TreeDef that breaks its own invariants.
#include "tree/tree.h"

namespace anima {
namespace {

constexpr const char* kKindNames[kNodeKinds] = {"leaf",   "none",        "tuple",        "list",
                                                "dict",   "named_tuple", "ordered_dict", "default_dict",
                                                "custom", "dataclass"};

[[noreturn]] void fail(const char* problem, PyObject* entry) {
  throw_python(PyExc_ValueError, "not the state of a PyTreeDef: %s in %R", problem, entry);
}

NodeKind kind_named(PyObject* name, PyObject* entry) {
  for (int kind = 0; kind < kNodeKinds; kind++) {
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, kKindNames[kind]) == 0) {
      return static_cast<NodeKind>(kind);
    }
  }
  fail("an unknown kind of node", entry);
}

bool is_tuple_of(PyObject* object, int64_t size) {
  return object != nullptr && PyTuple_Check(object) && PyTuple_GET_SIZE(object) == size;
}

void check_type_of_custom(Node& node, PyObject* type, PyObject* entry) {
  if (!PyType_Check(type)) fail("a node without its type", entry);
  node.custom = find_registration(reinterpret_cast<PyTypeObject*>(type));
  if (node.custom == nullptr || node.custom->kind != node.kind) {
    throw_python(PyExc_ValueError, "the pytree node %R is not registered here; register it before unpickling",
                 type);
  }
}

void check_data(const Node& node, PyObject* entry) {
  PyObject* data = node.data.get();
  bool good = true;
  switch (node.kind) {
    case NodeKind::kLeaf:
    case NodeKind::kNone:
      good = data == nullptr && node.arity == 0;
      break;
    case NodeKind::kTuple:
    case NodeKind::kList:
      good = data == nullptr;
      break;
    case NodeKind::kDict:
    case NodeKind::kOrderedDict:
      good = is_tuple_of(data, node.arity);
      break;
    case NodeKind::kDefaultDict:
      good = is_tuple_of(data, 2) && is_tuple_of(PyTuple_GET_ITEM(data, 1), node.arity);
      break;
    case NodeKind::kNamedTuple:
      good = data != nullptr && PyType_Check(data) &&
             classify(reinterpret_cast<PyTypeObject*>(data)).kind == NodeKind::kNamedTuple;
      break;
    case NodeKind::kCustom:
      good = data != nullptr;
      break;
    case NodeKind::kDataclass:
      good = is_tuple_of(data, PyTuple_GET_SIZE(node.custom->meta_fields)) &&
             node.arity == PyTuple_GET_SIZE(node.custom->data_fields);
      break;
  }
  if (!good) fail("data that do not fit the node", entry);
}

// An entry is (kind, arity, type of a custom node or None, data) or, without data, its first three.
Node node_from(PyObject* entry) {
  if (!is_tuple_of(entry, 3) && !is_tuple_of(entry, 4)) fail("no node", entry);
  Node node;
  node.kind = kind_named(PyTuple_GET_ITEM(entry, 0), entry);
  PyObject* arity = PyTuple_GET_ITEM(entry, 1);
  if (!PyLong_Check(arity)) fail("no arity", entry);
  node.arity = PyLong_AsLongLong(arity);
  if (PyErr_Occurred()) throw PythonError();
  if (node.arity < 0) fail("a negative arity", entry);
  if (node.kind == NodeKind::kCustom || node.kind == NodeKind::kDataclass) {
    check_type_of_custom(node, PyTuple_GET_ITEM(entry, 2), entry);
  }
  if (PyTuple_GET_SIZE(entry) == 4) node.data = PyRef::borrow(PyTuple_GET_ITEM(entry, 3));
  check_data(node, entry);
  return node;
}

// Fills in the sizes of the subtrees, last node first: the roots of the subtrees behind a node then
// lie on a stack.
void measure(std::vector<Node>& nodes, PyObject* state) {
  std::vector<const Node*> roots;
  for (size_t i = nodes.size(); i-- > 0;) {
    Node& node = nodes[i];
    if (static_cast<uint64_t>(node.arity) > roots.size()) fail("too few nodes", state);
    node.num_leaves = node.kind == NodeKind::kLeaf ? 1 : 0;
    node.num_nodes = 1;
    for (int64_t k = 0; k < node.arity; k++) {
      node.num_leaves += roots.back()->num_leaves;
      node.num_nodes += roots.back()->num_nodes;
      roots.pop_back();
    }
    roots.push_back(&node);
  }
  if (roots.size() != 1) fail("not exactly one root", state);
}

}  // namespace

PyRef treedef_state(const TreeDef& def) {
  PyRef state = PyRef::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(def.nodes.size()))));
  for (size_t i = 0; i < def.nodes.size(); i++) {
    const Node& node = def.nodes[i];
    PyObject* type = node.custom == nullptr ? Py_None : reinterpret_cast<PyObject*>(node.custom->type);
    const char* kind = kKindNames[static_cast<int>(node.kind)];
    long long arity = node.arity;
    PyObject* entry = node.data ? Py_BuildValue("(sLOO)", kind, arity, type, node.data.get())
                                : Py_BuildValue("(sLO)", kind, arity, type);
    PyTuple_SET_ITEM(state.get(), static_cast<Py_ssize_t>(i), checked(entry));
  }
  return state;
}

PyRef treedef_from_state(PyObject* state) {
  if (!PyTuple_Check(state)) fail("no tuple", state);
  std::vector<Node> nodes;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(state); i++)
    nodes.push_back(node_from(PyTuple_GET_ITEM(state, i)));
  measure(nodes, state);
  return make_treedef(std::move(nodes));
}

}  // namespace anima
