// Memory of small arrays on the CPU, and of what XLA knows of them, used again once it is free.
//
// Invariant: a block has one size for ever, and lies in one range of addresses that is reserved once: whether
// memory is a block is told by its address alone. Pages come from the system when they are first written to,
// and are kept: of each size no more than was in use at once, and a few blocks for each thread.
//
// The system's allocator makes aligned memory by splitting a larger piece, and joins the pieces when they are
// free again: a fifth of the time of calling a small compiled program, and more where threads do it at once.
#pragma once

#include <atomic>
#include <cstddef>

namespace anima::small_blocks {

constexpr size_t kAligned = 64;            // as XLA's buffers are
constexpr size_t kMost = size_t{1} << 15;  // bytes of a block
constexpr size_t kRange =
    size_t{1} << 26;  // bytes of all blocks; what more is wanted has the system's memory

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
// The bytes of all blocks, in use and free.
size_t bytes_made() noexcept;

}  // namespace anima::small_blocks
