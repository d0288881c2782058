// The orders of the 8-bit types, and the sizes of all.
#include "kernels/order.h"

namespace anima::kernels {
namespace {

using ffi::DataType;
using Ranks = std::array<uint8_t, 256>;

template <typename Order>
Ranks make(const Order& order) {
  Ranks ranks{};
  for (int x = 0; x < 256; ++x) ranks[x] = order(static_cast<uint8_t>(x));
  return ranks;
}

// Formats without a negative zero, whose only NaN has its bits: XLA takes it for a negative one, and sorts it
// first.
uint8_t nan_first(uint8_t x) {
  if (x == 0x80) return 0;
  return x < 0x80 ? x + 0x80 : static_cast<uint8_t>(-x);
}

}  // namespace

const uint8_t* ranks_of(DataType type) {
  static const Ranks as_is = make(IntegerOrder<uint8_t>{0});
  static const Ranks with_sign = make(IntegerOrder<uint8_t>{0x80});
  static const Ranks e5m2 = make(FloatOrder<uint8_t>{0x7C}), e4m3 = make(FloatOrder<uint8_t>{0x78});
  static const Ranks e3m4 = make(FloatOrder<uint8_t>{0x70});
  static const Ranks e4m3fn = make(FloatOrder<uint8_t>{0x7E});  // no infinity, one NaN of each sign
  static const Ranks fnuz = make(nan_first);
  switch (type) {
    case DataType::kPred:
    case DataType::kU8:
    case DataType::kF8E8M0FNU:  // powers of two: no sign, and the largest bits are the NaN
      return as_is.data();
    case DataType::kS8:
      return with_sign.data();
    case DataType::kF8E5M2:
      return e5m2.data();
    case DataType::kF8E4M3:
      return e4m3.data();
    case DataType::kF8E3M4:
      return e3m4.data();
    case DataType::kF8E4M3FN:
      return e4m3fn.data();
    case DataType::kF8E4M3B11FNUZ:
    case DataType::kF8E5M2FNUZ:
    case DataType::kF8E4M3FNUZ:
      return fnuz.data();
    default:
      return nullptr;
  }
}

const uint8_t* total_ranks_of(DataType type) {
  static const Ranks with_sign = make(total_rank<uint8_t>);
  switch (type) {
    case DataType::kF8E5M2:
    case DataType::kF8E4M3:
    case DataType::kF8E3M4:
    case DataType::kF8E4M3FN:
      return with_sign.data();
    default:
      return ranks_of(type);
  }
}

int64_t width_of(DataType type) {
  if (type == DataType::kC128) return 16;
  if (type == DataType::kC64) return 8;
  int64_t width = 0;
  with_order(type, [&](auto order) { width = sizeof(typename decltype(order)::Key); });
  return width;
}

}  // namespace anima::kernels
