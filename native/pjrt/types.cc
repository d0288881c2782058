// Element types: names and sizes.
#include <cstddef>
#include <string>

#include "pjrt/client.h"

namespace anima {
namespace {

struct TypeFacts {
  PJRT_Buffer_Type type;
  const char* name;
  size_t bits;
  int primitive;  // the number in xla.PrimitiveType
};

constexpr TypeFacts kTypes[] = {
    {PJRT_Buffer_Type_PRED, "pred", 8, 1},
    {PJRT_Buffer_Type_S2, "s2", 2, 26},
    {PJRT_Buffer_Type_S4, "s4", 4, 21},
    {PJRT_Buffer_Type_S8, "s8", 8, 2},
    {PJRT_Buffer_Type_S16, "s16", 16, 3},
    {PJRT_Buffer_Type_S32, "s32", 32, 4},
    {PJRT_Buffer_Type_S64, "s64", 64, 5},
    {PJRT_Buffer_Type_U2, "u2", 2, 27},
    {PJRT_Buffer_Type_U4, "u4", 4, 22},
    {PJRT_Buffer_Type_U8, "u8", 8, 6},
    {PJRT_Buffer_Type_U16, "u16", 16, 7},
    {PJRT_Buffer_Type_U32, "u32", 32, 8},
    {PJRT_Buffer_Type_U64, "u64", 64, 9},
    {PJRT_Buffer_Type_F4E2M1FN, "f4e2m1fn", 4, 32},
    {PJRT_Buffer_Type_F8E3M4, "f8e3m4", 8, 29},
    {PJRT_Buffer_Type_F8E4M3, "f8e4m3", 8, 28},
    {PJRT_Buffer_Type_F8E4M3B11FNUZ, "f8e4m3b11fnuz", 8, 23},
    {PJRT_Buffer_Type_F8E4M3FN, "f8e4m3fn", 8, 20},
    {PJRT_Buffer_Type_F8E4M3FNUZ, "f8e4m3fnuz", 8, 25},
    {PJRT_Buffer_Type_F8E5M2, "f8e5m2", 8, 19},
    {PJRT_Buffer_Type_F8E5M2FNUZ, "f8e5m2fnuz", 8, 24},
    {PJRT_Buffer_Type_F8E8M0FNU, "f8e8m0fnu", 8, 33},
    {PJRT_Buffer_Type_F16, "f16", 16, 10},
    {PJRT_Buffer_Type_BF16, "bf16", 16, 16},
    {PJRT_Buffer_Type_F32, "f32", 32, 11},
    {PJRT_Buffer_Type_F64, "f64", 64, 12},
    {PJRT_Buffer_Type_C64, "c64", 64, 15},
    {PJRT_Buffer_Type_C128, "c128", 128, 18},
};

const TypeFacts* find(PJRT_Buffer_Type type) {
  for (const TypeFacts& facts : kTypes) {
    if (facts.type == type) return &facts;
  }
  return nullptr;
}

}  // namespace

size_t bits_of(PJRT_Buffer_Type type) {
  const TypeFacts* facts = find(type);
  return facts != nullptr ? facts->bits : 0;
}

const char* name_of(PJRT_Buffer_Type type) {
  const TypeFacts* facts = find(type);
  return facts != nullptr ? facts->name : "unknown";
}

PJRT_Buffer_Type type_of_code(long code) {
  for (const TypeFacts& facts : kTypes) {
    if (facts.type == code) return facts.type;
  }
  return PJRT_Buffer_Type_INVALID;
}

PJRT_Buffer_Type type_of_xla(int primitive) {
  for (const TypeFacts& facts : kTypes) {
    if (facts.primitive == primitive) return facts.type;
  }
  return PJRT_Buffer_Type_INVALID;
}

std::string describe(PJRT_Buffer_Type type, const std::vector<int64_t>& dims) {
  std::string text = std::string(name_of(type)) + "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? "," : "") + std::to_string(dims[i]);
  return text + "]";
}

size_t dense_bytes(PJRT_Buffer_Type type, const std::vector<int64_t>& dims) {
  size_t total = (bits_of(type) + 7) / 8;
  if (total == 0) throw std::invalid_argument("dense_bytes: unknown element type " + std::to_string(type));
  bool empty = false;
  for (int64_t dim : dims) {
    if (dim < 0) throw std::invalid_argument("dense_bytes: negative dimension " + std::to_string(dim));
    if (dim == 0) empty = true;
    // PTRDIFF_MAX is what one allocation can hold; the product of the other dimensions counts even if
    // one of them is zero, as strides are computed from it.
    if (dim > 0 && total > static_cast<size_t>(PTRDIFF_MAX) / static_cast<size_t>(dim)) {
      throw std::overflow_error("an array of this shape has more bytes than memory can address");
    }
    if (dim > 0) total *= static_cast<size_t>(dim);
  }
  return empty ? 0 : total;
}

}  // namespace anima
