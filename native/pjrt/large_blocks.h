// Memory of large arrays on the CPU, used again once it is free.
//
// Invariant: what is kept and what is in use never exceed together what was in use at some moment, and
// nothing is kept that has not been used for some seconds, counted when memory is next taken or given back.
//
// The system's allocator gives large blocks back to the kernel at once. So each result of a program was made
// of pages that the kernel had yet to clear, at a sixth of the speed of the memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anima::large_blocks {

constexpr size_t kAligned = size_t{1} << 21;  // a huge page
// Bytes of a block. The system's allocator keeps what is smaller, as long as little is free at the end of its
// memory: results of one and a half megabytes were already made of fresh pages at every step of a training.
constexpr size_t kLeast = size_t{1} << 20;

struct Counts {
  uint64_t taken, reused;           // blocks, so far
  size_t bytes_in_use, bytes_kept;  // now
  size_t most_in_use;               // at any moment so far
};

// Null if there is no memory, or no block is to be had that is aligned so.
void* take(size_t alignment, size_t bytes) noexcept;
// False, with nothing done, if the memory is no block. Quick for most memory that is none.
bool give_back(void* memory) noexcept;
// The size of a block; 0 if it is none.
size_t size_of(void* memory) noexcept;
// Returns to the system what is kept.
void release() noexcept;
// Whether memory is kept; what is in use when this changes stays as it is.
void enable(bool enabled) noexcept;
Counts counts() noexcept;

}  // namespace anima::large_blocks
