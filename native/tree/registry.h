// Which types are inner nodes of a pytree, and how they come apart and together.
//
// Invariant: a registration is never removed or changed, so nodes point at it without owning it.
// Every function needs the GIL.
#pragma once

#include <Python.h>

#include <cstdint>

#include "common/py.h"

namespace anima {

enum class NodeKind : uint8_t {
  kLeaf,
  kNone,
  kTuple,
  kList,
  kDict,
  kNamedTuple,
  kOrderedDict,
  kDefaultDict,
  kCustom,     // taken apart by functions that Python registered
  kDataclass,  // taken apart by attribute, rebuilt by a call with keywords
};
constexpr int kNodeKinds = 10;

// A type that Python registered. The members are owned for the life of the process.
struct Registration {
  NodeKind kind;
  PyTypeObject* type;
  PyObject* to_iterable = nullptr;    // kCustom: object -> (children, aux)
  PyObject* from_iterable = nullptr;  // kCustom: (aux, children) -> object
  PyObject* to_keyed = nullptr;       // kCustom: object -> ((key, child) pairs, aux); may be null
  PyObject* data_fields = nullptr;    // kDataclass: tuple of names, the children
  PyObject* meta_fields = nullptr;    // kDataclass: tuple of names, the aux data
};

struct NodeType {
  NodeKind kind;
  const Registration* custom;  // set for kCustom and kDataclass
};

// How objects of exactly this type are treated. Throws only if looking up `_fields` of a subclass of
// tuple raises.
NodeType classify(PyTypeObject* type);
// The registration of a type, or null.
const Registration* find_registration(PyTypeObject* type);

// Both throw ValueError for a type that has a meaning already, TypeError for arguments of a wrong type.
void register_custom(PyObject* type, PyObject* to_iterable, PyObject* from_iterable, PyObject* to_keyed);
void register_dataclass(PyObject* type, PyObject* data_fields, PyObject* meta_fields);

void import_default_dict();         // once, before anything is classified
PyTypeObject* default_dict_type();  // collections.defaultdict

// Makers of the entries of key paths: index, dict key, attribute name, position in a custom node.
struct KeyClasses {
  PyObject* sequence = nullptr;
  PyObject* dict = nullptr;
  PyObject* attribute = nullptr;
  PyObject* flat_index = nullptr;
};
// Throws RuntimeError before set_key_classes has run.
const KeyClasses& key_classes();
// Takes references to `classes` and hands over those that were set before (null at first).
KeyClasses set_key_classes(const KeyClasses& classes);

}  // namespace anima
