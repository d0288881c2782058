// The Python type anima._native.PyTreeDef.
#include <Python.h>
#include <structmember.h>

#include <new>

#include "common/args.h"
#include "tree/tree.h"

namespace anima {
namespace {

PyTypeObject* type = nullptr;  // owned for the life of the process

TreeDef* self_of(PyObject* object) { return reinterpret_cast<TreeDef*>(object); }

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  for (const Node& node : self_of(object)->nodes) Py_VISIT(node.data.get());
  return 0;
}

int clear(PyObject* object) {
  std::vector<Node> nodes(1);  // a leaf: what still holds the object finds a sound structure
  nodes.swap(self_of(object)->nodes);
  return 0;
}

void release(PyObject* object) {
  PyTypeObject* own_type = Py_TYPE(object);
  if (self_of(object)->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
  self_of(object)->nodes.~vector();
  own_type->tp_free(object);
  Py_DECREF(own_type);
}

void dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  Py_TRASHCAN_BEGIN(object, dealloc);  // aux data may hold a structure, and so on
  release(object);
  Py_TRASHCAN_END;
}

PyObject* repr(PyObject* object) {
  return guarded<>(static_cast<PyObject*>(nullptr), [&] {
    std::string text = treedef_repr(*self_of(object));
    return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogatepass");
  });
}

Py_hash_t hash(PyObject* object) {
  return guarded<>(Py_hash_t{-1}, [&] { return treedef_hash(*self_of(object)); });
}

PyObject* compare(PyObject* a, PyObject* b, int operation) {
  if (Py_TYPE(b) != type || (operation != Py_EQ && operation != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  return guarded<>(static_cast<PyObject*>(nullptr), [&] {
    return PyBool_FromLong(same_structure(*self_of(a), *self_of(b)) == (operation == Py_EQ));
  });
}

template <class Fn>
PyObject* object_or_error(Fn&& fn) {
  return guarded<>(static_cast<PyObject*>(nullptr), fn);
}

PyObject* list_of(const PyRef* items, size_t count) {
  PyRef list = PyRef::steal(checked(PyList_New(static_cast<Py_ssize_t>(count))));
  for (size_t i = 0; i < count; i++)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), items[i].new_ref());
  return list.release();
}

PyObject* method_unflatten(PyObject* object, PyObject* leaves) {
  return object_or_error([&] {
    PyRef items = PyRef::steal(checked(PySequence_Tuple(leaves)));
    return unflatten(*self_of(object), &PyTuple_GET_ITEM(items.get(), 0),
                     static_cast<size_t>(PyTuple_GET_SIZE(items.get())));
  });
}

PyObject* method_flatten_up_to(PyObject* object, PyObject* tree) {
  return object_or_error([&] {
    Leaves subtrees;
    flatten_up_to(*self_of(object), tree, subtrees);
    return list_of(subtrees.data(), subtrees.size());
  });
}

PyObject* method_compose(PyObject* object, PyObject* inner) {
  return object_or_error([&] { return compose(*self_of(object), as_treedef(inner)).release(); });
}

PyObject* method_children(PyObject* object, PyObject*) {
  return object_or_error([&] {
    std::vector<PyRef> children = children_of(*self_of(object));
    return list_of(children.data(), children.size());
  });
}

PyObject* method_node_data(PyObject* object, PyObject*) {
  return object_or_error([&] { return node_data(*self_of(object)).release(); });
}

PyObject* method_reduce(PyObject* object, PyObject*) {
  return object_or_error([&] {
    PyRef module = PyRef::steal(checked(PyImport_ImportModule("anima._native")));
    PyRef make = PyRef::steal(checked(PyObject_GetAttrString(module.get(), "treedef_from_state")));
    return checked(Py_BuildValue("O(O)", make.get(), treedef_state(*self_of(object)).get()));
  });
}

PyObject* get_num_leaves(PyObject* object, void*) {
  return PyLong_FromLongLong(leaf_count(*self_of(object)));
}
PyObject* get_num_nodes(PyObject* object, void*) { return PyLong_FromSize_t(self_of(object)->nodes.size()); }
PyObject* get_is_leaf(PyObject* object, void*) {
  return PyBool_FromLong(self_of(object)->nodes[0].kind == NodeKind::kLeaf);
}

PyMethodDef methods[] = {
    {"unflatten", method_unflatten, METH_O,
     "unflatten($self, leaves, /)\n--\n\n"
     "Rebuilds the tree from an iterable of its leaves."},
    {"flatten_up_to", method_flatten_up_to, METH_O,
     "flatten_up_to($self, tree, /)\n--\n\n"
     "The subtrees of a tree that stand where this structure has leaves, as a list. Raises ValueError saying "
     "where the structures differ."},
    {"compose", method_compose, METH_O,
     "compose($self, inner, /)\n--\n\n"
     "This structure with every leaf replaced by another structure."},
    {"children", method_children, METH_NOARGS,
     "children($self)\n--\n\n"
     "The structures of the children of the top node, as a list."},
    {"node_data", method_node_data, METH_NOARGS,
     "node_data($self)\n--\n\n"
     "None for a leaf, else (type, aux data) of the top node."},
    {"__reduce__", method_reduce, METH_NOARGS,
     "__reduce__($self)\n--\n\n"
     "Pickling; the types of custom nodes are pickled by name."},
    {}};

PyGetSetDef properties[] = {{"num_leaves", get_num_leaves, nullptr, "How many leaves the tree has.", nullptr},
                            {"num_nodes", get_num_nodes, nullptr, "How many nodes, leaves counted.", nullptr},
                            {"is_leaf", get_is_leaf, nullptr, "Whether the tree is a single leaf.", nullptr},
                            {}};

PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(TreeDef, weakrefs), READONLY, nullptr},
                         {}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("The structure of a pytree: what is left without the leaves.")},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_hash, reinterpret_cast<void*>(hash)},
    {Py_tp_richcompare, reinterpret_cast<void*>(compare)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, nullptr}};

PyType_Spec spec = {"anima._native.PyTreeDef", sizeof(TreeDef), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

PyTypeObject* treedef_type() { return type; }

void create_treedef_type() { type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec))); }

const TreeDef& as_treedef(PyObject* object) {
  if (Py_TYPE(object) != type) throw_python(PyExc_TypeError, "expected a PyTreeDef, got %R", object);
  return *self_of(object);
}

PyRef make_treedef(std::vector<Node> nodes) {
  PyRef made = PyRef::steal(checked(reinterpret_cast<PyObject*>(PyObject_GC_New(TreeDef, type))));
  TreeDef* self = self_of(made.get());
  new (&self->nodes) std::vector<Node>(std::move(nodes));
  self->hash = -1;
  self->weakrefs = nullptr;
  PyObject_GC_Track(made.get());
  return made;
}

}  // namespace anima
