// What makes two calls the same program: structure, avals, placement, static values and options.
//
// Invariant: signatures are compared only through `same_signature`; the hash agrees with it. Comparing
// may run Python code (static values, dict keys, shardings).
#pragma once

#include <Python.h>

#include <vector>

#include "array/array.h"
#include "common/py.h"
#include "common/small_vector.h"
#include "tree/tree.h"

namespace anima {

// The arguments of a call, keywords sorted by name. References are borrowed from the caller.
class Arguments {
 public:
  Arguments(PyObject* const* values, size_t positional, PyObject* names);
  size_t positional() const { return positional_; }
  size_t size() const { return positional_ + names_.size(); }
  // Positional arguments first.
  PyObject* operator[](size_t i) const {
    return i < positional_ ? values_[i] : keyword_values_[i - positional_];
  }
  const SmallVector<PyObject*, 6>& names() const { return names_; }
  // Copies for Python: a tuple and a dict.
  PyRef args() const;
  PyRef kwargs() const;

 private:
  PyObject* const* values_;
  size_t positional_;
  SmallVector<PyObject*, 6> names_;
  SmallVector<PyObject*, 6> keyword_values_;
};

// Which arguments are static.
struct StaticRule {
  std::vector<size_t> positions;  // sorted
  PyRef names;                    // tuple of str
  bool flat = false;              // every positional argument is a leaf, every keyword is static

  bool is_static_position(size_t position) const;
  bool is_static_name(PyObject* name) const;
};

struct Slot {
  enum Kind : uint8_t { kLeaf, kTree, kStatic };
  Kind kind;
  PyRef object;  // kTree: the structure, kStatic: the value, kLeaf: null
};

enum class Place : uint8_t {
  kAnywhere,       // host values and uncommitted arrays
  kDevice,         // committed to one device: `place` is the Device
  kSharding,       // committed with a sharding: `place` is that object
  kLooseSharding,  // with a sharding, but not committed
};

struct LeafSignature {
  const AvalInfo* aval;
  const void* place;
  Place kind;
};

// The signature of a call under way; borrows from its arguments and leaves.
struct Signature {
  size_t hash = 0;
  int64_t options = 0;
  size_t positional = 0;
  SmallVector<PyObject*, 6> names;
  SmallVector<Slot, 12> slots;
  SmallVector<LeafSignature, 24> leaves;
  SmallVector<AvalRef, 4> host_avals;  // keeps those of host values alive
};

class Entry;

// Fills in the signature and appends the leaves. `similar`, which may be null, is a signature whose
// structures the call may have: trying them is quicker than building new ones. False if the call has no
// signature: a leaf is of a foreign type, or a static value cannot be hashed. Python then finds the
// words for it.
bool sign(const StaticRule& rule, const Arguments& args, const Entry* similar, Signature& signature,
          Leaves& leaves);

class EntryRef;

// A signature that owns what it refers to, and the plan that goes with it.
class Entry {
 public:
  explicit Entry(const Signature& signature, const Leaves& leaves);
  // True if a call has this signature, and then the leaves are appended. Quicker than sign().
  bool matches(const Arguments& args, Leaves& leaves) const;
  bool same_signature(const Signature& other) const;
  bool same_signature(const Entry& other) const;
  int traverse(visitproc visit, void* arg) const;
  size_t hash() const { return hash_; }
  // The structure of an argument, or null if that is a leaf or static, or there is none.
  const PyRef* tree_of(size_t argument) const {
    bool is_tree = argument < slots_.size() && slots_[argument].kind == Slot::kTree;
    return is_tree ? &slots_[argument].object : nullptr;
  }

  PyRef plan;

 private:
  friend class EntryRef;
  friend class Cache;
  bool leaf_matches(size_t index, PyObject* leaf) const;

  size_t hash_;
  int64_t options_;
  size_t positional_;
  std::vector<PyObject*> names_;  // owned by name_refs_
  std::vector<PyRef> name_refs_;
  std::vector<Slot> slots_;
  std::vector<LeafSignature> leaves_;
  std::vector<PyTypeObject*> scalars_;  // the Python type of a leaf whose aval that type decides, or null
  std::vector<AvalRef> avals_;
  std::vector<PyRef> shardings_;
  size_t references_ = 0;
  bool cached_ = false;
  Entry* newer_ = nullptr;  // the order of use, while cached
  Entry* older_ = nullptr;
};

// An owning reference, for threads that hold the GIL.
class EntryRef {
 public:
  EntryRef() = default;
  explicit EntryRef(Entry* entry) : entry_(entry) {
    if (entry_ != nullptr) entry_->references_++;
  }
  EntryRef(const EntryRef& other) : EntryRef(other.entry_) {}
  EntryRef(EntryRef&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
  EntryRef& operator=(EntryRef other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~EntryRef() {
    if (entry_ != nullptr && --entry_->references_ == 0) delete entry_;
  }
  Entry* get() const { return entry_; }
  Entry* operator->() const { return entry_; }
  explicit operator bool() const { return entry_ != nullptr; }

 private:
  Entry* entry_ = nullptr;
};

}  // namespace anima
