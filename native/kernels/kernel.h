// What a kernel is: an FFI handler of this library, by the name that programs call it by.
//
// Invariant: a kernel checks the number, types and shapes of its buffers and attributes before it touches
// memory, since programs can be written by hand; it throws `KernelError` where they are not as it says, and
// XLA reports that.
#pragma once

#include <complex>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "ffi/abi.h"
#include "ffi/handler.h"

namespace anima::kernels {

struct Kernel {
  const char* name;  // of the custom call
  ffi::Handler* handler;
};

class KernelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The kernel of this name, or null.
const Kernel* find_kernel(const std::string& name);

// The operands, results and attributes of a call.
class Call {
 public:
  explicit Call(ffi::CallFrame& frame) : frame_(frame) {}

  ffi::CallFrame& frame() const { return frame_; }
  int64_t operands() const { return frame_.args.size; }
  int64_t results() const { return frame_.rets.size; }

  // Throws unless the call has so many.
  void expect(int64_t operands, int64_t results) const;

  const ffi::Buffer& operand(int64_t i) const;
  const ffi::Buffer& result(int64_t i) const;

  // An attribute that is a scalar `i64` or `i1` (the lowering writes no other kinds). Throws if it is
  // missing.
  int64_t integer(const char* name) const;
  bool flag(const char* name) const;

 private:
  const void* scalar(const char* name, ffi::DataType type) const;

  ffi::CallFrame& frame_;
};

// The number of elements.
int64_t size_of(const ffi::Buffer& buffer);

// The size of a dimension; throws if there is none.
int64_t dimension(const ffi::Buffer& buffer, int64_t i);

// The bytes of an element; throws for types whose elements share bytes.
int64_t bytes_of(ffi::DataType type);

// Throws unless both have the same shape.
void expect_same_shape(const ffi::Buffer& a, const ffi::Buffer& b);

// XLA's name of an element type.
template <typename T>
inline constexpr ffi::DataType kTypeOf = ffi::DataType::kToken;  // of which no buffer is
template <>
inline constexpr ffi::DataType kTypeOf<float> = ffi::DataType::kF32;
template <>
inline constexpr ffi::DataType kTypeOf<double> = ffi::DataType::kF64;
template <>
inline constexpr ffi::DataType kTypeOf<std::complex<float>> = ffi::DataType::kC64;
template <>
inline constexpr ffi::DataType kTypeOf<std::complex<double>> = ffi::DataType::kC128;
template <>
inline constexpr ffi::DataType kTypeOf<int32_t> = ffi::DataType::kS32;
template <>
inline constexpr ffi::DataType kTypeOf<int64_t> = ffi::DataType::kS64;
template <>
inline constexpr ffi::DataType kTypeOf<uint32_t> = ffi::DataType::kU32;
template <>
inline constexpr ffi::DataType kTypeOf<uint64_t> = ffi::DataType::kU64;

// The memory of a buffer, whose elements must be of this type.
template <typename T>
T* data(const ffi::Buffer& buffer) {
  if (buffer.type != kTypeOf<T>) throw KernelError("a buffer of another element type was expected");
  return static_cast<T*>(buffer.data);
}

// A handler that runs `body`.
template <void (*Body)(const Call&)>
void run_body(ffi::CallFrame& frame) {
  Body(Call(frame));
}
template <void (*Body)(const Call&)>
constexpr Kernel kernel(const char* name) {
  return {name, &ffi::handler<run_body<Body>>};
}

}  // namespace anima::kernels
