#include "call/signature.h"

#include <algorithm>

#include "common/thread_state.h"

namespace anima {
namespace {

size_t mix(size_t hash, size_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 32);
}

size_t bits_of_pointer(const void* pointer) { return reinterpret_cast<size_t>(pointer); }

bool same_name(PyObject* a, PyObject* b) { return a == b || PyUnicode_Compare(a, b) == 0; }

bool equal_shardings(const void* a, const void* b) {
  if (a == b) return true;
  int equal = PyObject_RichCompareBool(static_cast<PyObject*>(const_cast<void*>(a)),
                                       static_cast<PyObject*>(const_cast<void*>(b)), Py_EQ);
  if (equal < 0) throw PythonError();
  return equal == 1;
}

bool same_leaf(const LeafSignature& a, const LeafSignature& b) {
  if (a.aval != b.aval || a.kind != b.kind) return false;
  if (a.kind == Place::kAnywhere || a.place == b.place) return true;
  return a.kind != Place::kDevice && equal_shardings(a.place, b.place);
}

bool same_slot(const Slot& a, const Slot& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == Slot::kLeaf) return true;
  if (a.kind == Slot::kStatic) return same_value(a.object.get(), b.object.get());
  return same_signature(treedef(a.object), treedef(b.object));
}

// The slots and leaves of either kind of signature.
template <class Slots, class LeafList>
bool same_parts(const std::vector<Slot>& slots, const Slots& other_slots,
                const std::vector<LeafSignature>& leaves, const LeafList& other_leaves) {
  if (slots.size() != other_slots.size() || leaves.size() != other_leaves.size()) return false;
  for (size_t i = 0; i < leaves.size(); i++) {
    if (leaves[i].aval != other_leaves[i].aval || leaves[i].kind != other_leaves[i].kind) return false;
  }
  for (size_t i = 0; i < slots.size(); i++) {
    if (!same_slot(slots[i], other_slots[i])) return false;
  }
  for (size_t i = 0; i < leaves.size(); i++) {
    if (!same_leaf(leaves[i], other_leaves[i])) return false;
  }
  return true;
}

template <class Names>
bool same_names(const std::vector<PyObject*>& names, const Names& others) {
  return std::equal(names.begin(), names.end(), others.begin(), others.end(), same_name);
}

// The aval of a host value; null for anything else and for what no device takes (text, objects), for
// which Python has the better words.
AvalRef host_aval(PyObject* value) {
  try {
    return aval_of_host_value(value);
  } catch (const PythonError&) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw;
    PyErr_Clear();
    return nullptr;
  }
}

LeafSignature sign_array(ArrayObject* array) {
  if (array->shards.empty()) check_live(array);
  LeafSignature leaf{array->aval.get(), nullptr, Place::kAnywhere};
  if (array->sharding != nullptr) {
    leaf.place = array->sharding;
    leaf.kind = array->committed ? Place::kSharding : Place::kLooseSharding;
  } else if (array->committed) {
    leaf.place = array->shards[0]->device();
    leaf.kind = Place::kDevice;
  }
  return leaf;
}

// Appends the signatures of leaves, and mixes them into the hash. False at the first of a foreign type.
bool sign_leaves(Signature& signature, const Leaves& leaves) {
  for (const PyRef& leaf : leaves) {
    LeafSignature& signed_leaf = signature.leaves.emplace_back();
    if (is_array(leaf.get())) {
      signed_leaf = sign_array(as_array(leaf.get()));
    } else {
      AvalRef aval = host_aval(leaf.get());
      if (!aval) return false;
      signed_leaf = {aval.get(), nullptr, Place::kAnywhere};
      signature.host_avals.push_back(std::move(aval));
    }
    size_t place = bits_of_pointer(signed_leaf.place);
    if (signed_leaf.kind >= Place::kSharding) {
      Py_hash_t hash = PyObject_Hash(static_cast<PyObject*>(const_cast<void*>(signed_leaf.place)));
      if (hash == -1) throw PythonError();
      place = static_cast<size_t>(hash);
    }
    signature.hash = mix(signature.hash, bits_of_pointer(signed_leaf.aval));
    signature.hash = mix(signature.hash, place + static_cast<size_t>(signed_leaf.kind));
  }
  return true;
}

// False if the value cannot be hashed.
bool sign_static(Signature& signature, PyObject* value) {
  signature.slots.emplace_back(Slot{Slot::kStatic, PyRef::borrow(value)});
  try {
    signature.hash = mix(signature.hash, static_cast<size_t>(value_hash(value)));
  } catch (const PythonError&) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw;
    PyErr_Clear();
    return false;
  }
  signature.hash = mix(signature.hash, bits_of_pointer(Py_TYPE(value)));
  return true;
}

// The structure of an argument that is no leaf. `known` may be it, or is null.
PyRef tree_of(PyObject* value, const PyRef* known, Leaves& leaves) {
  size_t before = leaves.size();
  if (known != nullptr && flatten_like(treedef(*known), value, array_type, leaves)) return *known;
  while (leaves.size() > before) leaves.pop_back();
  return flatten(value, leaves);
}

void sign_dynamic(Signature& signature, PyObject* value, bool flat, const Entry* similar, Leaves& leaves) {
  if (flat || is_array(value) || classify(Py_TYPE(value)).kind == NodeKind::kLeaf) {
    signature.slots.emplace_back(Slot{Slot::kLeaf, PyRef()});
    leaves.emplace_back(PyRef::borrow(value));
    return;
  }
  const PyRef* known = similar == nullptr ? nullptr : similar->tree_of(signature.slots.size());
  PyRef tree = tree_of(value, known, leaves);
  signature.hash = mix(signature.hash, static_cast<size_t>(treedef_hash(treedef(tree))));
  signature.slots.emplace_back(Slot{Slot::kTree, std::move(tree)});
}

// The type of a leaf if that alone decides the aval, for given options.
PyTypeObject* deciding_type(PyObject* leaf) {
  PyTypeObject* type = Py_TYPE(leaf);
  bool decides =
      type == &PyFloat_Type || type == &PyLong_Type || type == &PyBool_Type || type == &PyComplex_Type;
  return decides ? type : nullptr;
}

}  // namespace

Arguments::Arguments(PyObject* const* values, size_t positional, PyObject* names)
    : values_(values), positional_(positional) {
  if (names == nullptr) return;
  size_t count = static_cast<size_t>(PyTuple_GET_SIZE(names));
  SmallVector<size_t, 6> order;
  for (size_t i = 0; i < count; i++) order.push_back(i);
  PyObject* const* first = &PyTuple_GET_ITEM(names, 0);
  std::sort(order.begin(), order.end(),
            [first](size_t a, size_t b) { return PyUnicode_Compare(first[a], first[b]) < 0; });
  for (size_t i : order) {
    names_.push_back(first[i]);
    keyword_values_.push_back(values[positional + i]);
  }
}

PyRef Arguments::args() const {
  PyRef tuple = PyRef::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(positional_))));
  for (size_t i = 0; i < positional_; i++) {
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), PyRef::borrow(values_[i]).release());
  }
  return tuple;
}

PyRef Arguments::kwargs() const {
  PyRef dict = PyRef::steal(checked(PyDict_New()));
  for (size_t i = 0; i < names_.size(); i++) {
    if (PyDict_SetItem(dict.get(), names_[i], keyword_values_[i]) != 0) throw PythonError();
  }
  return dict;
}

bool StaticRule::is_static_position(size_t position) const {
  return std::binary_search(positions.begin(), positions.end(), position);
}

bool StaticRule::is_static_name(PyObject* name) const {
  if (flat) return true;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names.get()); i++) {
    if (same_name(PyTuple_GET_ITEM(names.get(), i), name)) return true;
  }
  return false;
}

bool sign(const StaticRule& rule, const Arguments& args, const Entry* similar, Signature& signature,
          Leaves& leaves) {
  signature.options = options_key();
  signature.positional = args.positional();
  signature.hash = mix(static_cast<size_t>(signature.options), args.positional());
  for (size_t i = 0; i < args.positional(); i++) {
    if (!rule.is_static_position(i)) {
      sign_dynamic(signature, args[i], rule.flat, similar, leaves);
    } else if (!sign_static(signature, args[i])) {
      return false;
    }
  }
  for (size_t i = args.positional(); i < args.size(); i++) {
    PyObject* name = args.names()[i - args.positional()];
    signature.names.push_back(name);
    signature.hash = mix(signature.hash, static_cast<size_t>(PyObject_Hash(name)));
    if (!rule.is_static_name(name)) {
      sign_dynamic(signature, args[i], false, similar, leaves);
    } else if (!sign_static(signature, args[i])) {
      return false;
    }
  }
  return sign_leaves(signature, leaves);
}

Entry::Entry(const Signature& signature, const Leaves& leaves)
    : hash_(signature.hash), options_(signature.options), positional_(signature.positional) {
  for (PyObject* name : signature.names) {
    names_.push_back(name);
    name_refs_.push_back(PyRef::borrow(name));
  }
  slots_.assign(signature.slots.begin(), signature.slots.end());
  leaves_.assign(signature.leaves.begin(), signature.leaves.end());
  for (size_t i = 0; i < leaves_.size(); i++) {
    avals_.push_back(leaves_[i].aval->shared_from_this());
    scalars_.push_back(deciding_type(leaves[i].get()));
    if (leaves_[i].kind < Place::kSharding) continue;
    shardings_.push_back(PyRef::borrow(static_cast<PyObject*>(const_cast<void*>(leaves_[i].place))));
  }
}

bool Entry::same_signature(const Signature& other) const {
  return options_ == other.options && positional_ == other.positional && same_names(names_, other.names) &&
         same_parts(slots_, other.slots, leaves_, other.leaves);
}

bool Entry::same_signature(const Entry& other) const {
  return options_ == other.options_ && positional_ == other.positional_ && same_names(names_, other.names_) &&
         same_parts(slots_, other.slots_, leaves_, other.leaves_);
}

bool Entry::leaf_matches(size_t index, PyObject* leaf) const {
  const LeafSignature& expected = leaves_[index];
  if (is_array(leaf)) {
    ArrayObject* array = as_array(leaf);
    if (array->aval.get() != expected.aval || array->shards.empty()) return false;
    if (array->sharding == nullptr) {
      return array->committed
                 ? expected.kind == Place::kDevice && expected.place == array->shards[0]->device()
                 : expected.kind == Place::kAnywhere;
    }
    return same_leaf(expected, sign_array(array));
  }
  if (expected.kind != Place::kAnywhere) return false;
  if (Py_TYPE(leaf) == scalars_[index]) return true;
  AvalRef aval = host_aval(leaf);
  return aval && aval.get() == expected.aval;
}

bool Entry::matches(const Arguments& args, Leaves& leaves) const {
  if (args.positional() != positional_ || args.size() != slots_.size() || options_key() != options_)
    return false;
  if (!names_.empty() && !same_names(names_, args.names())) return false;
  for (size_t i = 0; i < slots_.size(); i++) {
    const Slot& slot = slots_[i];
    if (slot.kind == Slot::kLeaf) {
      leaves.emplace_back(PyRef::borrow(args[i]));
    } else if (slot.kind == Slot::kStatic) {
      if (!same_value(slot.object.get(), args[i])) return false;
    } else if (!flatten_like(treedef(slot.object), args[i], array_type, leaves)) {
      return false;
    }
  }
  for (size_t i = 0; i < leaves.size(); i++) {
    if (!leaf_matches(i, leaves[i].get())) return false;
  }
  return true;
}

int Entry::traverse(visitproc visit, void* arg) const {
  for (const Slot& slot : slots_) Py_VISIT(slot.object.get());
  for (const PyRef& sharding : shardings_) Py_VISIT(sharding.get());
  Py_VISIT(plan.get());
  return 0;
}

}  // namespace anima
