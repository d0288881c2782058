// From an object to its leaves.
//
// Invariant: every leaf and child is owned while Python code may run, since that code may change the
// containers.
#include <algorithm>

#include "tree/dict_reader.h"
#include "tree/tree.h"

namespace anima {
namespace {

// Replaces the TypeError that sorting has raised by a ValueError that says what to do.
[[noreturn]] void explain_unsortable() {
  PyObject *type, *cause, *traceback;
  PyErr_Fetch(&type, &cause, &traceback);
  PyErr_NormalizeException(&type, &cause, &traceback);
  PyErr_Format(PyExc_ValueError,
               "the keys of a dict in a pytree are sorted, and these do not compare: %S. Use keys of one "
               "type, or a collections.OrderedDict, which keeps the order of insertion.",
               cause);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  PyObject* error;
  PyErr_Fetch(&type, &error, &traceback);
  PyErr_NormalizeException(&type, &error, &traceback);
  PyException_SetCause(error, cause);  // takes over the reference
  PyErr_Restore(type, error, traceback);
  throw PythonError();
}

// Strings are sorted here: comparing them runs no Python code and raises nothing.
PyRef sorted_keys(PyObject* dict) {
  Py_ssize_t size = PyDict_GET_SIZE(dict);
  PyRef keys = PyRef::steal(checked(PyTuple_New(size)));
  bool strings = true;
  Py_ssize_t position = 0, count = 0;
  PyObject* key;
  while (PyDict_Next(dict, &position, &key, nullptr) && count < size) {
    Py_INCREF(key);
    PyTuple_SET_ITEM(keys.get(), count++, key);
    strings = strings && PyUnicode_CheckExact(key);
  }
  // Making the tuple may have run a garbage collection, and that any code.
  if (count != size || PyDict_GET_SIZE(dict) != size) {
    throw_python(PyExc_RuntimeError, "a dict changed its size while it was flattened");
  }
  if (strings) {
    PyObject** first = &PyTuple_GET_ITEM(keys.get(), 0);
    auto before = [](PyObject* a, PyObject* b) { return PyUnicode_Compare(a, b) < 0; };
    if (!std::is_sorted(first, first + count, before)) std::sort(first, first + count, before);
    return keys;
  }
  PyRef list = PyRef::steal(checked(PySequence_List(keys.get())));
  if (PyList_Sort(list.get()) != 0) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw PythonError();
    explain_unsortable();
  }
  return PyRef::steal(checked(PyList_AsTuple(list.get())));
}

PyRef factory_of(PyObject* default_dict) {
  return PyRef::steal(checked(PyObject_GetAttrString(default_dict, "default_factory")));
}

class Flattener {
 public:
  Flattener(std::vector<Node>& nodes, Leaves& leaves, const FlattenOptions& options)
      : nodes_(nodes),
        leaves_(leaves),
        options_(options),
        with_path_(options.paths != nullptr || options.is_leaf_takes_path) {}

  void visit(PyObject* object) {
    if (options_.is_leaf != nullptr && stops_at(object)) return add_leaf(object);
    NodeType type = classify(Py_TYPE(object));
    if (type.kind == NodeKind::kLeaf) return add_leaf(object);
    size_t at = nodes_.size();
    size_t leaves_before = leaves_.size();
    Node& node = nodes_.emplace_back();
    node.kind = type.kind;
    node.custom = type.custom;
    if (type.kind != NodeKind::kNone) {
      RecursionGuard guard;
      visit_children(object, at);
    }
    nodes_[at].num_leaves = static_cast<int64_t>(leaves_.size() - leaves_before);
    nodes_[at].num_nodes = static_cast<int64_t>(nodes_.size() - at);
  }

 private:
  bool stops_at(PyObject* object) {
    PyRef path = options_.is_leaf_takes_path ? current_path() : PyRef();
    PyObject* args[2] = {path ? path.get() : object, object};
    PyRef answer = PyRef::steal(checked(PyObject_Vectorcall(options_.is_leaf, args, path ? 2 : 1, nullptr)));
    int truth = PyObject_IsTrue(answer.get());
    if (truth < 0) throw PythonError();
    return truth == 1;
  }

  void add_leaf(PyObject* object) {
    nodes_.emplace_back();
    leaves_.emplace_back(PyRef::borrow(object));
    if (options_.paths != nullptr) options_.paths->push_back(current_path());
  }

  PyRef current_path() {
    PyRef path = PyRef::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(path_.size()))));
    for (size_t i = 0; i < path_.size(); i++) {
      PyTuple_SET_ITEM(path.get(), static_cast<Py_ssize_t>(i), path_[i].new_ref());
    }
    return path;
  }

  // `made_by` is called with `key` (with the number `index` if that is null) if paths are wanted.
  void visit_child(PyObject* child, PyObject* KeyClasses::* made_by, PyObject* key, Py_ssize_t index = 0) {
    if (!with_path_) return visit(child);
    PyRef argument = key != nullptr ? PyRef::borrow(key) : PyRef::steal(checked(PyLong_FromSsize_t(index)));
    PyRef maker = PyRef::borrow(key_classes().*made_by);  // which may set others in their place
    path_.push_back(PyRef::steal(checked(PyObject_CallOneArg(maker.get(), argument.get()))));
    visit(child);
    path_.pop_back();
  }

  void visit_children(PyObject* object, size_t at) {
    switch (nodes_[at].kind) {
      case NodeKind::kTuple:
        return visit_items(object, at, nullptr);
      case NodeKind::kNamedTuple:
        nodes_[at].data = PyRef::borrow(reinterpret_cast<PyObject*>(Py_TYPE(object)));
        return visit_named_tuple(object, at);
      case NodeKind::kList:
        return visit_list(object, at);
      case NodeKind::kDict:
        return visit_dict(object, at, sorted_keys(object));
      case NodeKind::kDefaultDict:
        return visit_dict(object, at, sorted_keys(object));
      case NodeKind::kOrderedDict:
        return visit_dict(object, at, PyRef::steal(checked(PySequence_Tuple(object))));
      case NodeKind::kDataclass:
        return visit_dataclass(object, at);
      default:
        return visit_custom(object, at);
    }
  }

  // The items of a tuple. `names`: the fields of a named tuple, or null.
  void visit_items(PyObject* tuple, size_t at, PyObject* names) {
    Py_ssize_t arity = PyTuple_GET_SIZE(tuple);
    nodes_[at].arity = arity;
    bool named = names != nullptr && PyTuple_GET_SIZE(names) == arity;
    for (Py_ssize_t i = 0; i < arity; i++) {
      visit_child(PyTuple_GET_ITEM(tuple, i), named ? &KeyClasses::attribute : &KeyClasses::sequence,
                  named ? PyTuple_GET_ITEM(names, i) : nullptr, i);
    }
  }

  void visit_named_tuple(PyObject* tuple, size_t at) {
    if (!with_path_) return visit_items(tuple, at, nullptr);
    PyRef names = PyRef::steal(checked(PyObject_GetAttrString(nodes_[at].data.get(), "_fields")));
    visit_items(tuple, at, PyTuple_Check(names.get()) ? names.get() : nullptr);
  }

  void visit_list(PyObject* list, size_t at) {
    Py_ssize_t arity = PyList_GET_SIZE(list);
    nodes_[at].arity = arity;
    for (Py_ssize_t i = 0; i < arity; i++) {
      if (PyList_GET_SIZE(list) != arity) {
        throw_python(PyExc_RuntimeError, "a list changed its length while it was flattened");
      }
      PyRef child = PyRef::borrow(PyList_GET_ITEM(list, i));
      visit_child(child.get(), &KeyClasses::sequence, nullptr, i);
    }
  }

  void visit_dict(PyObject* dict, size_t at, PyRef keys) {
    Py_ssize_t arity = PyTuple_GET_SIZE(keys.get());
    nodes_[at].arity = arity;
    if (nodes_[at].kind == NodeKind::kDefaultDict) {
      nodes_[at].data = PyRef::steal(checked(PyTuple_Pack(2, factory_of(dict).get(), keys.get())));
    } else {
      nodes_[at].data = keys;
    }
    DictReader reader(dict);
    for (Py_ssize_t i = 0; i < arity; i++) {
      PyObject* key = PyTuple_GET_ITEM(keys.get(), i);
      PyRef child = reader.next(key);
      if (!child) throw_python(PyExc_RuntimeError, "a dict lost its key %R while it was flattened", key);
      visit_child(child.get(), &KeyClasses::dict, key);
    }
  }

  void visit_dataclass(PyObject* object, size_t at) {
    const Registration& custom = *nodes_[at].custom;
    Py_ssize_t arity = PyTuple_GET_SIZE(custom.data_fields);
    nodes_[at].arity = arity;
    nodes_[at].data = meta_values(object, custom);
    for (Py_ssize_t i = 0; i < arity; i++) {
      PyObject* name = PyTuple_GET_ITEM(custom.data_fields, i);
      PyRef child = PyRef::steal(checked(PyObject_GetAttr(object, name)));
      visit_child(child.get(), &KeyClasses::attribute, name);
    }
  }

  void visit_custom(PyObject* object, size_t at) {
    const Registration& custom = *nodes_[at].custom;
    bool keyed = with_path_ && custom.to_keyed != nullptr;
    Parts parts = take_apart(object, custom, keyed);
    Py_ssize_t arity = PyTuple_GET_SIZE(parts.children.get());
    nodes_[at].arity = arity;
    nodes_[at].data = std::move(parts.aux);
    for (Py_ssize_t i = 0; i < arity; i++) {
      PyObject* child = PyTuple_GET_ITEM(parts.children.get(), i);
      if (keyed) {
        visit_keyed(child, custom);
      } else {
        visit_child(child, &KeyClasses::flat_index, nullptr, i);
      }
    }
  }

  // A (key, child) pair of a custom node: the key goes into the path as it is.
  void visit_keyed(PyObject* pair, const Registration& custom) {
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
      throw_python(
          PyExc_TypeError,
          "the to_iterable_with_keys function of the pytree node %R must return ((key, child) pairs, aux "
          "data), got the pair %R",
          reinterpret_cast<PyObject*>(custom.type), pair);
    }
    path_.push_back(PyRef::borrow(PyTuple_GET_ITEM(pair, 0)));
    visit(PyTuple_GET_ITEM(pair, 1));
    path_.pop_back();
  }

  std::vector<Node>& nodes_;
  Leaves& leaves_;
  const FlattenOptions& options_;
  const bool with_path_;
  std::vector<PyRef> path_;
};

}  // namespace

Parts take_apart(PyObject* object, const Registration& custom, bool with_keys) {
  const char* name = with_keys ? "to_iterable_with_keys" : "to_iterable";
  PyObject* type = reinterpret_cast<PyObject*>(custom.type);
  PyRef both =
      PyRef::steal(checked(PyObject_CallOneArg(with_keys ? custom.to_keyed : custom.to_iterable, object)));
  if (!PyTuple_Check(both.get()) || PyTuple_GET_SIZE(both.get()) != 2) {
    throw_python(PyExc_ValueError,
                 "the %s function of the pytree node %R must return (children, aux data), got %R", name, type,
                 both.get());
  }
  PyObject* children = PyTuple_GET_ITEM(both.get(), 0);
  Parts parts;
  parts.children = PyRef::steal(PySequence_Tuple(children));
  if (!parts.children) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError) || Py_TYPE(children)->tp_iter != nullptr)
      throw PythonError();
    throw_python(
        PyExc_ValueError,
        "the %s function of the pytree node %R must return (children, aux data) where the children can be "
        "iterated over, got %R",
        name, type, both.get());
  }
  parts.aux = PyRef::borrow(PyTuple_GET_ITEM(both.get(), 1));
  return parts;
}

PyRef meta_values(PyObject* object, const Registration& custom) {
  Py_ssize_t count = PyTuple_GET_SIZE(custom.meta_fields);
  Unfinished values(PyTuple_New(count));
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject* value = checked(PyObject_GetAttr(object, PyTuple_GET_ITEM(custom.meta_fields, i)));
    PyTuple_SET_ITEM(values.get(), i, value);
  }
  return values.finish();
}

PyRef flatten(PyObject* tree, Leaves& leaves, const FlattenOptions& options) {
  std::vector<Node> nodes;
  nodes.reserve(16);
  Flattener(nodes, leaves, options).visit(tree);
  return make_treedef(std::move(nodes));
}

}  // namespace anima
