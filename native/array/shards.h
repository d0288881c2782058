// The buffers of an array.
//
// Invariant: one buffer, which is what nearly every array has, lies in the object itself; only more of them
// take memory of their own.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "pjrt/client.h"

namespace anima {

class Shards {
 public:
  Shards() = default;
  explicit Shards(BufferRef single) : first_(std::move(single)) {}
  Shards(const Shards& other)
      : first_(other.first_),
        all_(other.all_ ? std::make_unique<std::vector<BufferRef>>(*other.all_) : nullptr) {}
  Shards(Shards&&) noexcept = default;
  Shards& operator=(Shards&&) noexcept = default;

  void push_back(BufferRef shard) {
    if (all_ == nullptr && first_ == nullptr) {
      first_ = std::move(shard);
      return;
    }
    if (all_ == nullptr) {
      all_ = std::make_unique<std::vector<BufferRef>>();
      all_->push_back(std::move(first_));
    }
    all_->push_back(std::move(shard));
  }
  void clear() {
    first_.reset();
    all_.reset();
  }

  size_t size() const { return all_ != nullptr ? all_->size() : first_ != nullptr; }
  bool empty() const { return all_ == nullptr && first_ == nullptr; }
  const BufferRef& operator[](size_t i) const { return begin()[i]; }
  BufferRef* begin() { return all_ != nullptr ? all_->data() : &first_; }
  BufferRef* end() { return begin() + size(); }
  const BufferRef* begin() const { return all_ != nullptr ? all_->data() : &first_; }
  const BufferRef* end() const { return begin() + size(); }

 private:
  BufferRef first_;                              // null if there is none, or more than one
  std::unique_ptr<std::vector<BufferRef>> all_;  // null unless there is more than one
};

}  // namespace anima
