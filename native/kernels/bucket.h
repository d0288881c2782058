// The last steps of a sort by distribution: where places begin, and elements that are nearly in order sorted.
//
// An element has its key in its upper half. Elements with equal keys keep their order.
#pragma once

#include <cstdint>

namespace anima::kernels {

constexpr uint64_t kKeyHalf = ~uint64_t{0} << 32;

// Whether `x`, which comes later, belongs before `y`.
inline bool belongs_before(uint64_t x, uint64_t y) { return x < (y & kKeyHalf); }

// Makes the numbers of elements of a power of two of places the offsets at which these begin. Returns the
// largest number.
uint32_t begin_places(uint32_t* counts, int64_t size);

// Sorts elements that are few places from their own.
void sort_nearly_sorted(uint64_t* row, int64_t n);

// The lower halves of elements.
void lower_halves(const uint64_t* row, int64_t n, uint32_t* to);

}  // namespace anima::kernels
