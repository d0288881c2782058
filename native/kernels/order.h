// The orders in which elements are sorted, as unsigned integers that are ordered in the same way.
//
// Invariant: elements that count as equal have one rank: zeros of both signs, and all NaNs, which come last.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/kernel.h"

namespace anima::kernels {

template <typename K>
constexpr K kSign = static_cast<K>(K{1} << (8 * sizeof(K) - 1));

// Integers, whose sign bit is to be flipped or (unsigned ones) not.
template <typename K>
struct IntegerOrder {
  using Key = K;
  K flip;
  K operator()(K x) const { return x ^ flip; }
};

// All bits of negative numbers are flipped, the sign of the others: the order of IEEE 754 with the zeros and
// the NaNs told apart.
template <typename K>
K total_rank(K x) {
  const auto negative = static_cast<K>(static_cast<std::make_signed_t<K>>(x) >> (8 * sizeof(K) - 1));
  return static_cast<K>(x ^ (negative | kSign<K>));
}

// Floating-point numbers of 16 bits or more.
template <typename K>
struct FloatOrder {
  using Key = K;
  K infinity;  // its bits; those of NaNs are larger
  K operator()(K x) const {
    const auto magnitude = static_cast<K>(x & ~kSign<K>);
    const K rank = magnitude == 0 ? kSign<K> : total_rank(x);
    return magnitude > infinity ? static_cast<K>(~K{0}) : rank;
  }
};

// Anything of 8 bits.
struct TableOrder {
  using Key = uint8_t;
  const uint8_t* ranks;
  uint8_t operator()(uint8_t x) const { return ranks[x]; }
};

// The ranks of an 8-bit type, or null if it is none that can be sorted; and those that tell zeros and NaNs
// apart.
const uint8_t* ranks_of(ffi::DataType type);
const uint8_t* total_ranks_of(ffi::DataType type);

// The size of an element in bytes; throws unless it is one that can be sorted.
int64_t width_of(ffi::DataType type);

// Calls `visit` with the order of a real element type; throws if there is none.
template <typename Visit>
void with_order(ffi::DataType type, const Visit& visit) {
  using ffi::DataType;
  switch (type) {
    case DataType::kS16:
      return visit(IntegerOrder<uint16_t>{kSign<uint16_t>});
    case DataType::kU16:
      return visit(IntegerOrder<uint16_t>{0});
    case DataType::kF16:
      return visit(FloatOrder<uint16_t>{0x7C00});
    case DataType::kBF16:
      return visit(FloatOrder<uint16_t>{0x7F80});
    case DataType::kS32:
      return visit(IntegerOrder<uint32_t>{kSign<uint32_t>});
    case DataType::kU32:
      return visit(IntegerOrder<uint32_t>{0});
    case DataType::kF32:
      return visit(FloatOrder<uint32_t>{0x7F800000});
    case DataType::kS64:
      return visit(IntegerOrder<uint64_t>{kSign<uint64_t>});
    case DataType::kU64:
      return visit(IntegerOrder<uint64_t>{0});
    case DataType::kF64:
      return visit(FloatOrder<uint64_t>{0x7FF0000000000000});
    default:
      break;
  }
  if (const uint8_t* ranks = ranks_of(type)) return visit(TableOrder{ranks});
  throw KernelError("a kernel was called with an element type that has no order");
}

}  // namespace anima::kernels
