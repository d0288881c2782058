// The plans of one callable, by signature: bounded, the least recently used goes first.
//
// Invariant: no Python code runs while the table or the list is being changed; what leaves the cache is
// released afterwards.
#pragma once

#include <unordered_map>

#include "call/signature.h"

namespace anima {

class Cache {
 public:
  explicit Cache(size_t limit) : limit_(limit) {}
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  // The entry used last, or null.
  EntryRef latest() const { return EntryRef(newest_); }
  // The entry of a signature, or null. `Key` is a Signature or an Entry.
  template <class Key>
  EntryRef find(size_t hash, const Key& key) const {
    SmallVector<EntryRef, 4> candidates;  // owned: comparing may run code that changes the cache
    for (auto [at, end] = table_.equal_range(hash); at != end; ++at) candidates.push_back(at->second);
    for (const EntryRef& candidate : candidates) {
      if (candidate->same_signature(key)) return candidate;
    }
    return EntryRef();
  }
  // Marks an entry as used, if it is in the cache still.
  void use(const EntryRef& entry);
  // Adds an entry unless the cache was cleared since `generation`, or has its equal, whose plan is then
  // replaced.
  void insert(EntryRef entry, uint64_t generation);
  uint64_t generation() const { return generation_; }
  size_t size() const { return table_.size(); }
  // Empties the cache and returns what was in it, for the caller to let go.
  std::vector<EntryRef> clear();
  int traverse(visitproc visit, void* arg) const;

 private:
  void link(Entry* entry);
  void unlink(Entry* entry);
  EntryRef take_oldest();

  const size_t limit_;
  uint64_t generation_ = 0;
  std::unordered_multimap<size_t, EntryRef> table_;
  Entry* newest_ = nullptr;
  Entry* oldest_ = nullptr;
};

}  // namespace anima
