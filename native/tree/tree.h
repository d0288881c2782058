// Pytrees: flattening nested containers into leaves and a comparable, hashable structure.
//
// Invariant: a TreeDef is an immutable Python object (anima._native.PyTreeDef); equality is
// structural. Its nodes stand in preorder, a node before its children, each knowing how long its
// subtree is. None is a node without leaves. Dict keys are visited in sorted order. Every function
// needs the GIL, may run Python code and throws PythonError when that fails.
#pragma once

#include <Python.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/py.h"
#include "common/recursion.h"
#include "common/small_vector.h"
#include "tree/registry.h"

namespace anima {

struct Node {
  NodeKind kind = NodeKind::kLeaf;
  const Registration* custom = nullptr;  // kCustom and kDataclass
  int64_t arity = 0;
  int64_t num_leaves = 1;  // of the subtree
  int64_t num_nodes = 1;   // of the subtree, this node counted
  // kDict, kOrderedDict: the keys as a tuple. kDefaultDict: (factory, keys). kNamedTuple: the type.
  // kCustom: the aux data. kDataclass: the values of the meta fields as a tuple. Otherwise null.
  PyRef data;
};

struct TreeDef {
  PyObject_HEAD;
  std::vector<Node> nodes;
  mutable Py_hash_t hash;  // -1 until asked for
  PyObject* weakrefs;
};

using Leaves = SmallVector<PyRef, 32>;

// One key path per leaf: a tuple of objects made by the registered key classes.
struct FlattenOptions {
  PyObject* is_leaf = nullptr;          // callable: is this object to be a leaf?
  bool is_leaf_takes_path = false;      // call is_leaf(path, object) instead of is_leaf(object)
  std::vector<PyRef>* paths = nullptr;  // wanted if not null
};

// Flattening. `flatten` appends the leaves and returns the structure, a TreeDef.
PyRef flatten(PyObject* tree, Leaves& leaves, const FlattenOptions& options = {});
// Appends the leaves if `tree` has exactly the structure `def` (aux data as by same_value), else
// returns false, with some leaves appended perhaps. `leaf_type` is a type known not to be a node.
bool flatten_like(const TreeDef& def, PyObject* tree, PyTypeObject* leaf_type, Leaves& leaves);
// Appends the subtrees of `tree` that stand where `def` has leaves. Throws ValueError saying where
// the structures differ.
void flatten_up_to(const TreeDef& def, PyObject* tree, Leaves& subtrees);

// Rebuilds; throws ValueError if `count` is not the number of leaves. New reference.
PyObject* unflatten(const TreeDef& def, PyObject* const* leaves, size_t count);

// Structures.
PyTypeObject* treedef_type();
void create_treedef_type();                   // once
const TreeDef& as_treedef(PyObject* object);  // throws TypeError if it is not one
inline const TreeDef& treedef(const PyRef& ref) { return *reinterpret_cast<TreeDef*>(ref.get()); }
inline int64_t leaf_count(const TreeDef& def) { return def.nodes[0].num_leaves; }
PyRef make_treedef(std::vector<Node> nodes);
PyRef leaf_treedef();
PyRef tuple_treedef(const std::vector<const TreeDef*>& children);
PyRef compose(const TreeDef& outer, const TreeDef& inner);  // every leaf of `outer` replaced by `inner`
std::vector<PyRef> children_of(const TreeDef& def);
// None for a leaf, else (type, aux data).
PyRef node_data(const TreeDef& def);
std::string treedef_repr(const TreeDef& def);
std::string shortened(std::string text);  // for messages: at most 300 bytes and "..."
Py_hash_t treedef_hash(const TreeDef& def);
bool same_structure(const TreeDef& a, const TreeDef& b);  // aux data compared with ==
bool same_signature(const TreeDef& a, const TreeDef& b);  // aux data compared with same_value
// What a pickle holds, and back. treedef_from_state checks everything and throws ValueError.
PyRef treedef_state(const TreeDef& def);
PyRef treedef_from_state(PyObject* state);

// The keys of a node of a dict kind: a tuple, borrowed.
inline PyObject* keys_of(const Node& node) {
  return node.kind == NodeKind::kDefaultDict ? PyTuple_GET_ITEM(node.data.get(), 1) : node.data.get();
}
// What a custom node's to_iterable (or to_iterable_with_keys) function gave, checked.
struct Parts {
  PyRef children;  // tuple
  PyRef aux;
};
Parts take_apart(PyObject* object, const Registration& custom, bool with_keys);
PyRef meta_values(PyObject* object, const Registration& custom);  // of a dataclass, a tuple

// A new tuple or list that is filled while Python code runs, which must not find it half empty: the
// garbage collector, through which all objects can be found, does not know it before finish().
class Unfinished {
 public:
  explicit Unfinished(PyObject* made)
      : made_(PyRef::steal(checked(made))), tracked_(PyObject_GC_IsTracked(made)) {
    if (tracked_) PyObject_GC_UnTrack(made);
  }
  PyObject* get() const { return made_.get(); }
  PyRef finish() {
    if (tracked_) PyObject_GC_Track(made_.get());
    return std::move(made_);
  }

 private:
  PyRef made_;
  bool tracked_;  // the empty tuple, a constant, is not
};

// Equality for caches, where 1, 1.0 and True are different things: of the same type and equal, floats
// by their bits, exact tuples by their items; anything else of one type by ==.
bool same_value(PyObject* a, PyObject* b);
// A hash that agrees with same_value. Throws what the object's __hash__ raises.
Py_hash_t value_hash(PyObject* object);

}  // namespace anima
