// Memory of small arrays on the CPU, and of what XLA knows of them and of programs, used again once it is
// free.
//
// Invariant: a range of addresses that is reserved once is cut into spans, and a span that is in use into
// blocks of one size: whether memory is a block is told by its address alone. A span whose blocks are all
// free is kept, to be cut for any size that is wanted next. So no more is ever there than was in use at once,
// and what is at hand for threads; and where fewer spans were wanted for some seconds, those that were not go
// back to the system, with the next blocks that a thread fetches or returns.
//
// The system's allocator makes aligned memory by splitting a larger piece, and joins the pieces when they are
// free again: a fifth of the time of calling a small compiled program, and more where threads do it at once.
// Of a size it keeps seven free blocks at hand for a thread, but a call with hundreds of arrays, and the
// reading of a program, make and free thousands.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>

namespace anima::small_blocks {

constexpr size_t kAligned = 64;            // at most, as XLA's buffers are; any block is by 16
constexpr size_t kMost = size_t{1} << 15;  // bytes of a block
constexpr size_t kRange =
    size_t{1} << 28;  // bytes of all blocks; what more is wanted has the system's memory

// Where the blocks lie; before there are any, where no memory can be.
extern std::atomic<size_t> range_start;

inline bool is_block(const void* memory) noexcept {
  return reinterpret_cast<size_t>(memory) - range_start.load(std::memory_order_relaxed) < kRange;
}

// Null if there is no block to be had of this size and alignment.
void* take(size_t alignment, size_t bytes) noexcept;
// `memory` must be a block.
void give_back(void* memory) noexcept;
// The bytes that a block has room for.
size_t size_of(void* memory) noexcept;
// Whether blocks are given out; those in use stay good.
void enable(bool enabled) noexcept;
// Returns to the system the memory of all that is free, but for what threads keep at hand.
void release() noexcept;

struct Counts {
  size_t bytes_in_use;  // of spans of which a block is, or may soon be
  size_t bytes_kept;
};
Counts counts() noexcept;

// For objects of ours that are made and freed as often as XLA's.
template <class T>
struct Allocator {
  using value_type = T;
  Allocator() = default;
  template <class U>
  Allocator(const Allocator<U>&) noexcept {}

  T* allocate(size_t count) {
    void* block = take(alignof(T), count * sizeof(T));
    return static_cast<T*>(block != nullptr ? block : ::operator new(count * sizeof(T)));
  }
  void deallocate(T* memory, size_t) noexcept {
    is_block(memory) ? give_back(memory) : ::operator delete(memory);
  }
  template <class U>
  bool operator==(const Allocator<U>&) const noexcept {
    return true;
  }
  template <class U>
  bool operator!=(const Allocator<U>&) const noexcept {
    return false;
  }
};

}  // namespace anima::small_blocks
