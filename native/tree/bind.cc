// Adds pytrees to the module: plain C functions, since tracing calls them all the time.
#include <memory>

#include "bindings.h"
#include "common/args.h"
#include "tree/tree.h"

namespace anima {
namespace {

template <class Fn>
PyObject* object_or_error(Fn&& fn) {
  return guarded<>(static_cast<PyObject*>(nullptr), fn);
}

PyRef list_of(const Leaves& leaves) {
  PyRef list = PyRef::steal(checked(PyList_New(static_cast<Py_ssize_t>(leaves.size()))));
  for (size_t i = 0; i < leaves.size(); i++) {
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), leaves[i].new_ref());
  }
  return list;
}

FlattenOptions options_from(PyObject* is_leaf) {
  FlattenOptions options;
  options.is_leaf = is_leaf == nullptr ? nullptr : none_to_null(is_leaf);
  return options;
}

PyObject* tree_flatten(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&] {
    PyObject* given[2];
    parse_args("tree_flatten", {"tree", "is_leaf"}, 1, {args, count, names}, given);
    Leaves leaves;
    PyRef def = flatten(given[0], leaves, options_from(given[1]));
    return checked(PyTuple_Pack(2, list_of(leaves).get(), def.get()));
  });
}

PyObject* tree_leaves(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&] {
    PyObject* given[2];
    parse_args("tree_leaves", {"tree", "is_leaf"}, 1, {args, count, names}, given);
    Leaves leaves;
    flatten(given[0], leaves, options_from(given[1]));
    return list_of(leaves).release();
  });
}

PyObject* tree_structure(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&] {
    PyObject* given[2];
    parse_args("tree_structure", {"tree", "is_leaf"}, 1, {args, count, names}, given);
    Leaves leaves;
    return flatten(given[0], leaves, options_from(given[1])).release();
  });
}

PyObject* tree_unflatten(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&] {
    PyObject* given[2];
    parse_args("tree_unflatten", {"treedef", "leaves"}, 2, {args, count, names}, given);
    const TreeDef& def = as_treedef(given[0]);
    PyRef items = PyRef::steal(checked(PySequence_Tuple(given[1])));
    return unflatten(def, &PyTuple_GET_ITEM(items.get(), 0),
                     static_cast<size_t>(PyTuple_GET_SIZE(items.get())));
  });
}

// `columns[k]` holds what the k-th tree has in place of each leaf of the first.
PyRef map_columns(PyObject* function, const TreeDef& def,
                  const std::vector<std::unique_ptr<Leaves>>& columns) {
  size_t count = columns[0]->size();
  Leaves results;
  SmallVector<PyObject*, 8> args;
  args.extend_to(columns.size());
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < columns.size(); k++) args[k] = (*columns[k])[i].get();
    results.emplace_back(
        PyRef::steal(checked(PyObject_Vectorcall(function, args.data(), columns.size(), nullptr))));
  }
  SmallVector<PyObject*, 32> borrowed;
  for (const PyRef& result : results) borrowed.push_back(result.get());
  return PyRef::steal(unflatten(def, borrowed.data(), borrowed.size()));
}

// tree_map(f, tree, *rest, is_leaf=None)
PyObject* tree_map(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&] {
    PyObject* is_leaf = nullptr;
    for (Py_ssize_t k = 0; names != nullptr && k < PyTuple_GET_SIZE(names); k++) {
      PyObject* name = PyTuple_GET_ITEM(names, k);
      if (PyUnicode_CompareWithASCIIString(name, "is_leaf") != 0) {
        throw_python(PyExc_TypeError, "tree_map() has no keyword argument %R", name);
      }
      is_leaf = args[count + k];
    }
    if (count < 2) throw_python(PyExc_TypeError, "tree_map() needs a function and at least one tree");
    std::vector<std::unique_ptr<Leaves>> columns;
    columns.push_back(std::make_unique<Leaves>());
    PyRef def = flatten(args[1], *columns[0], options_from(is_leaf));
    for (Py_ssize_t k = 2; k < count; k++) {
      columns.push_back(std::make_unique<Leaves>());
      flatten_up_to(treedef(def), args[k], *columns.back());
    }
    return map_columns(args[0], treedef(def), columns).release();
  });
}

PyObject* all_leaves(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&] {
    PyObject* given[2];
    parse_args("all_leaves", {"iterable", "is_leaf"}, 1, {args, count, names}, given);
    PyRef items = PyRef::steal(checked(PySequence_Tuple(given[0])));
    FlattenOptions options = options_from(given[1]);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
      PyObject* item = PyTuple_GET_ITEM(items.get(), i);
      if (options.is_leaf == nullptr) {
        if (classify(Py_TYPE(item)).kind != NodeKind::kLeaf) Py_RETURN_FALSE;
        continue;
      }
      Leaves leaves;
      if (treedef(flatten(item, leaves, options)).nodes[0].kind != NodeKind::kLeaf) Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
  });
}

PyObject* tree_flatten_with_path(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&] {
    PyObject* given[3];
    parse_args("tree_flatten_with_path", {"tree", "is_leaf", "is_leaf_takes_path"}, 1, {args, count, names},
               given);
    Leaves leaves;
    std::vector<PyRef> paths;
    FlattenOptions options = options_from(given[1]);
    options.paths = &paths;
    int takes_path = given[2] == nullptr ? 0 : PyObject_IsTrue(given[2]);
    if (takes_path < 0) throw PythonError();
    options.is_leaf_takes_path = takes_path == 1;
    PyRef def = flatten(given[0], leaves, options);
    PyRef list = PyRef::steal(checked(PyList_New(static_cast<Py_ssize_t>(leaves.size()))));
    for (size_t i = 0; i < leaves.size(); i++) {
      PyObject* pair = checked(PyTuple_Pack(2, paths[i].get(), leaves[i].get()));
      PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), pair);
    }
    return checked(PyTuple_Pack(2, list.get(), def.get()));
  });
}

PyObject* bind_set_key_classes(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&]() -> PyObject* {
    PyObject* given[4];
    parse_args("set_key_classes", {"sequence_key", "dict_key", "get_attr_key", "flattened_index_key"}, 4,
               {args, count, names}, given);
    KeyClasses old = set_key_classes({given[0], given[1], given[2], given[3]});
    if (old.sequence == nullptr) Py_RETURN_NONE;
    return checked(Py_BuildValue("NNNN", old.sequence, old.dict, old.attribute, old.flat_index));
  });
}

PyObject* bind_register_node(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&]() -> PyObject* {
    PyObject* given[4];
    parse_args("register_node", {"type", "to_iterable", "from_iterable", "to_iterable_with_keys"}, 3,
               {args, count, names}, given);
    register_custom(given[0], given[1], given[2], given[3] == nullptr ? nullptr : none_to_null(given[3]));
    Py_RETURN_NONE;
  });
}

PyObject* bind_register_dataclass(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return object_or_error([&]() -> PyObject* {
    PyObject* given[3];
    parse_args("register_dataclass", {"type", "data_fields", "meta_fields"}, 3, {args, count, names}, given);
    register_dataclass(given[0], given[1], given[2]);
    Py_RETURN_NONE;
  });
}

PyObject* treedef_leaf(PyObject*, PyObject*) {
  return object_or_error([] { return leaf_treedef().release(); });
}

PyObject* treedef_tuple(PyObject*, PyObject* defs) {
  return object_or_error([&] {
    PyRef items = PyRef::steal(checked(PySequence_Tuple(defs)));
    std::vector<const TreeDef*> children;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
      children.push_back(&as_treedef(PyTuple_GET_ITEM(items.get(), i)));
    }
    return tuple_treedef(children).release();
  });
}

PyObject* bind_treedef_from_state(PyObject*, PyObject* state) {
  return object_or_error([&] { return treedef_from_state(state).release(); });
}

using Fast = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);
PyCFunction cast(Fast function) { return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function)); }
constexpr int kFast = METH_FASTCALL | METH_KEYWORDS;

PyMethodDef functions[] = {
    {"tree_flatten", cast(tree_flatten), kFast,
     "tree_flatten($module, tree, is_leaf=None)\n--\n\nThe leaves of a tree, as a list, and its structure."},
    {"tree_leaves", cast(tree_leaves), kFast,
     "tree_leaves($module, tree, is_leaf=None)\n--\n\nThe leaves of a tree, as a list."},
    {"tree_structure", cast(tree_structure), kFast,
     "tree_structure($module, tree, is_leaf=None)\n--\n\nThe structure of a tree."},
    {"tree_unflatten", cast(tree_unflatten), kFast,
     "tree_unflatten($module, treedef, leaves)\n--\n\nThe tree of a structure and an iterable of leaves."},
    {"tree_map", cast(tree_map), kFast,
     "tree_map($module, f, tree, /, *rest, is_leaf=None)\n--\n\nThe tree of what `f` gives for each leaf."},
    {"all_leaves", cast(all_leaves), kFast,
     "all_leaves($module, iterable, is_leaf=None)\n--\n\nWhether every item is a leaf."},
    {"tree_flatten_with_path", cast(tree_flatten_with_path), kFast,
     "tree_flatten_with_path($module, tree, is_leaf=None, is_leaf_takes_path=False)\n--\n\n"
     "The pairs of key path and leaf, as a list, and the structure."},
    {"set_key_classes", cast(bind_set_key_classes), kFast,
     "set_key_classes($module, sequence_key, dict_key, get_attr_key, flattened_index_key)\n--\n\n"
     "Set what makes the entries of key paths; returns the previous ones, or None."},
    {"register_node", cast(bind_register_node), kFast,
     "register_node($module, type, to_iterable, from_iterable, to_iterable_with_keys=None)\n--\n\n"
     "Make a type a node: the functions take it apart and put it together."},
    {"register_dataclass", cast(bind_register_dataclass), kFast,
     "register_dataclass($module, type, data_fields, meta_fields)\n--\n\n"
     "Make a type a node whose children and settings are attributes."},
    {"treedef_leaf", treedef_leaf, METH_NOARGS,
     "treedef_leaf($module)\n--\n\nThe structure of a single leaf."},
    {"treedef_tuple", treedef_tuple, METH_O,
     "treedef_tuple($module, defs, /)\n--\n\nThe structure of a tuple whose items have the given "
     "structures."},
    {"treedef_from_state", bind_treedef_from_state, METH_O,
     "treedef_from_state($module, state, /)\n--\n\nWhat unpickling a PyTreeDef calls."},
    {}};

}  // namespace

void bind_tree(nanobind::module_& m) {
  import_default_dict();
  create_treedef_type();
  PyObject* type = reinterpret_cast<PyObject*>(treedef_type());
  if (PyModule_AddObjectRef(m.ptr(), "PyTreeDef", type) != 0 ||
      PyModule_AddFunctions(m.ptr(), functions) != 0) {
    throw PythonError();
  }
}

}  // namespace anima
