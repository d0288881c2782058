#include "call/cache.h"

namespace anima {

void Cache::link(Entry* entry) {
  entry->cached_ = true;
  entry->newer_ = nullptr;
  entry->older_ = newest_;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = entry;
  newest_ = entry;
}

void Cache::unlink(Entry* entry) {
  (entry->newer_ != nullptr ? entry->newer_->older_ : newest_) = entry->older_;
  (entry->older_ != nullptr ? entry->older_->newer_ : oldest_) = entry->newer_;
  entry->cached_ = false;
}

void Cache::use(const EntryRef& entry) {
  if (!entry->cached_ || entry.get() == newest_) return;
  unlink(entry.get());
  link(entry.get());
}

EntryRef Cache::take_oldest() {
  EntryRef entry(oldest_);
  unlink(oldest_);
  for (auto [at, end] = table_.equal_range(entry->hash()); at != end; ++at) {
    if (at->second.get() != entry.get()) continue;
    table_.erase(at);
    break;
  }
  return entry;
}

void Cache::insert(EntryRef entry, uint64_t generation) {
  EntryRef known = find(entry->hash(), *entry.get());
  if (generation != generation_ || limit_ == 0) return;
  if (known && known->cached_) {
    std::swap(known->plan, entry->plan);
    return use(known);
  }
  EntryRef evicted = table_.size() >= limit_ ? take_oldest() : EntryRef();
  table_.emplace(entry->hash(), entry);
  link(entry.get());
}

std::vector<EntryRef> Cache::clear() {
  std::vector<EntryRef> gone;
  gone.reserve(table_.size());
  while (newest_ != nullptr) {
    gone.emplace_back(newest_);
    unlink(newest_);
  }
  table_.clear();
  generation_++;
  return gone;
}

int Cache::traverse(visitproc visit, void* arg) const {
  for (const Entry* entry = newest_; entry != nullptr; entry = entry->older_) {
    if (int stop = entry->traverse(visit, arg)) return stop;
  }
  return 0;
}

}  // namespace anima
