// Small eager operations computed on the host, in place of their compiled programs.
//
// Invariant: a kernel gives the bits that the operation's own program gives, or refuses. What it refuses are
// the numbers that XLA's programs treat in another way than IEEE 754 does, and on which `core/host.py` has
// the word: kernels refuse what the rules there refuse, so both are held against the programs by the
// same tests.
#pragma once

#include <Python.h>

#include <cstring>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

#include "array/aval.h"
#include "common/py.h"

namespace anima {

class HostKernel {
 public:
  virtual ~HostKernel() = default;
  // Dense row-major operands and results, of the avals that the kernel was made for. False if it refuses;
  // what the results hold then means nothing.
  virtual bool run(const void* const* operands, void* const* results) const = 0;
};
using HostKernelRef = std::unique_ptr<const HostKernel>;

// What is computed, and on what.
struct HostOperation {
  std::string_view name;
  const std::vector<AvalRef>& operands;
  const std::vector<AvalRef>& results;
  PyObject* details;  // what some kernels need to know beyond that; borrowed
};

// Throws ValueError where there is no such kernel, for these avals and details.
HostKernelRef make_host_kernel(const HostOperation& operation);

// The families of kernels. Null if the name is none of theirs.
HostKernelRef make_moving_kernel(const HostOperation& operation);
HostKernelRef make_elementwise_kernel(const HostOperation& operation);
HostKernelRef make_reducing_kernel(const HostOperation& operation);
HostKernelRef make_calling_kernel(const HostOperation& operation);

[[noreturn]] void refuse_operation(const HostOperation& operation, const char* why);
// Throws ValueError unless there are so many operands and one result.
void expect_operands(const HostOperation& operation, size_t count);

// fn(T()) for the C++ type T of numbers; null or false for types that C++ has no arithmetic of.
template <class Fn>
auto for_number_type(PJRT_Buffer_Type type, Fn&& fn) -> decltype(fn(bool())) {
  switch (type) {
    case PJRT_Buffer_Type_PRED:
      return fn(bool());
    case PJRT_Buffer_Type_S8:
      return fn(int8_t());
    case PJRT_Buffer_Type_S16:
      return fn(int16_t());
    case PJRT_Buffer_Type_S32:
      return fn(int32_t());
    case PJRT_Buffer_Type_S64:
      return fn(int64_t());
    case PJRT_Buffer_Type_U8:
      return fn(uint8_t());
    case PJRT_Buffer_Type_U16:
      return fn(uint16_t());
    case PJRT_Buffer_Type_U32:
      return fn(uint32_t());
    case PJRT_Buffer_Type_U64:
      return fn(uint64_t());
    case PJRT_Buffer_Type_F32:
      return fn(float());
    case PJRT_Buffer_Type_F64:
      return fn(double());
    default:
      return {};
  }
}

inline bool is_integer(PJRT_Buffer_Type type) {
  return for_number_type(type, [](auto zero) {
    return std::is_integral_v<decltype(zero)> && !std::is_same_v<decltype(zero), bool>;
  });
}

// What moves elements of 16 bytes.
struct Wide {
  uint64_t low, high;
};

// fn(T()) for a C++ type T that is as large as the elements of this type, to move them.
template <class Fn>
auto for_width_of(PJRT_Buffer_Type type, Fn&& fn) {
  switch (bits_of(type)) {
    case 8:
      return fn(uint8_t());
    case 16:
      return fn(uint16_t());
    case 32:
      return fn(uint32_t());
    case 64:
      return fn(uint64_t());
    default:
      return fn(Wide());
  }
}

// The bits by which numbers are told apart.
template <class T>
struct Bits {
  static constexpr bool kFloat = false;
};
template <>
struct Bits<float> {
  static constexpr bool kFloat = true;
  using Unsigned = uint32_t;
  static constexpr Unsigned kLeast = 0x00800000, kInfinity = 0x7F800000, kSign = 0x80000000;
};
template <>
struct Bits<double> {
  static constexpr bool kFloat = true;
  using Unsigned = uint64_t;
  static constexpr Unsigned kLeast = 0x0010000000000000, kInfinity = 0x7FF0000000000000,
                            kSign = 0x8000000000000000;
};

// Which floating-point numbers are left to the compiled program: none; subnormal ones, the least normal
// ones and NaNs; negative zeros, too.
enum class Care { kNone, kNumbers, kZeros };

// Nonzero for a number that is left to the program. (Not a bool, for loops of it to become vector code.)
template <Care care, class T>
inline auto delicate(T value) {
  if constexpr (Bits<T>::kFloat && care != Care::kNone) {
    using B = Bits<T>;
    typename B::Unsigned bits;
    std::memcpy(&bits, &value, sizeof(bits));
    typename B::Unsigned magnitude = bits & ~B::kSign;
    typename B::Unsigned found = (magnitude - 1 < B::kLeast) | (magnitude > B::kInfinity);
    if constexpr (care == Care::kZeros) found |= bits == B::kSign;
    return found;
  } else {
    return uint8_t{0};
  }
}

}  // namespace anima
