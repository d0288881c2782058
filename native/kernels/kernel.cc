// Reading the operands and attributes of a call, and checking them.
#include "kernels/kernel.h"

#include <cstring>

namespace anima::kernels {
namespace {

constexpr int kScalarAttribute = 3;

const ffi::Buffer& buffer_at(const ffi::Values& values, int64_t i, const char* what) {
  if (i < 0 || i >= values.size || values.kinds[i] != ffi::kBufferValue) {
    throw KernelError(std::string("a kernel was called without ") + what + " " + std::to_string(i));
  }
  return values.buffer(i);
}

}  // namespace

void Call::expect(int64_t operands, int64_t results) const {
  if (frame_.args.size == operands && frame_.rets.size == results) return;
  throw KernelError("a kernel of " + std::to_string(operands) + " operands and " + std::to_string(results) +
                    " results was called with " + std::to_string(frame_.args.size) + " and " +
                    std::to_string(frame_.rets.size));
}

const ffi::Buffer& Call::operand(int64_t i) const { return buffer_at(frame_.args, i, "operand"); }

const ffi::Buffer& Call::result(int64_t i) const { return buffer_at(frame_.rets, i, "result"); }

const void* Call::scalar(const char* name, ffi::DataType type) const {
  const ffi::Attributes& attrs = frame_.attrs;
  const size_t length = std::strlen(name);
  for (int64_t i = 0; i < attrs.size; ++i) {
    const ffi::ByteSpan& found = *attrs.names[i];
    if (found.size != length || std::memcmp(found.data, name, length) != 0) continue;
    const auto* value = static_cast<const ffi::Scalar*>(attrs.items[i]);
    if (attrs.kinds[i] == kScalarAttribute && value->type == type) return value->value;
  }
  throw KernelError(std::string("a kernel was called without the attribute '") + name + "' of its type");
}

int64_t Call::integer(const char* name) const {
  return *static_cast<const int64_t*>(scalar(name, ffi::DataType::kS64));
}

bool Call::flag(const char* name) const {
  return *static_cast<const uint8_t*>(scalar(name, ffi::DataType::kPred)) != 0;
}

int64_t size_of(const ffi::Buffer& buffer) {
  int64_t size = 1;
  for (int64_t i = 0; i < buffer.rank; ++i) size *= buffer.dims[i];
  return size;
}

int64_t dimension(const ffi::Buffer& buffer, int64_t i) {
  if (i < 0 || i >= buffer.rank) throw KernelError("a buffer of more dimensions was expected");
  return buffer.dims[i];
}

int64_t bytes_of(ffi::DataType type) {
  switch (type) {
    case ffi::DataType::kPred:
    case ffi::DataType::kS8:
    case ffi::DataType::kU8:
    case ffi::DataType::kF8E5M2:
    case ffi::DataType::kF8E4M3FN:
    case ffi::DataType::kF8E4M3B11FNUZ:
    case ffi::DataType::kF8E5M2FNUZ:
    case ffi::DataType::kF8E4M3FNUZ:
    case ffi::DataType::kF8E4M3:
    case ffi::DataType::kF8E3M4:
    case ffi::DataType::kF8E8M0FNU:
      return 1;
    case ffi::DataType::kS16:
    case ffi::DataType::kU16:
    case ffi::DataType::kF16:
    case ffi::DataType::kBF16:
      return 2;
    case ffi::DataType::kS32:
    case ffi::DataType::kU32:
    case ffi::DataType::kF32:
      return 4;
    case ffi::DataType::kS64:
    case ffi::DataType::kU64:
    case ffi::DataType::kF64:
    case ffi::DataType::kC64:
      return 8;
    case ffi::DataType::kC128:
      return 16;
    default:
      throw KernelError("a kernel was called with an unexpected element type");
  }
}

void expect_same_shape(const ffi::Buffer& a, const ffi::Buffer& b) {
  bool same = a.rank == b.rank;
  for (int64_t i = 0; same && i < a.rank; ++i) same = a.dims[i] == b.dims[i];
  if (!same) throw KernelError("buffers of equal shapes were expected");
}

}  // namespace anima::kernels
