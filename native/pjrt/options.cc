// A look into a serialised CompileOptionsProto before XLA sees it.
//
// Invariant: only what would abort the process inside XLA is refused here: bytes that are no message, a
// negative device ordinal, and replica or partition counts that are zero or need more devices than
// there are.
#include "pjrt/internal.h"

namespace anima {
namespace {

constexpr uint32_t kBuildOptions = 3;   // CompileOptionsProto.executable_build_options
constexpr uint32_t kDeviceOrdinal = 1;  // ExecutableBuildOptionsProto
constexpr uint32_t kNumReplicas = 4;
constexpr uint32_t kNumPartitions = 5;

// Steps through the fields of one protobuf message.
class Fields {
 public:
  Fields(const char* data, size_t size) : at_(data), end_(data + size) {}

  bool next() {
    if (at_ == end_) return false;
    uint64_t key = varint();
    number = static_cast<uint32_t>(key >> 3);
    is_number = (key & 7) == 0;
    bytes = nullptr;
    switch (key & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        skip(8);
        break;
      case 2: {
        uint64_t length = varint();
        bytes = at_;
        size = length;
        skip(length);
        break;
      }
      case 5:
        skip(4);
        break;
      default:
        malformed();
    }
    return true;
  }

  uint32_t number = 0;
  bool is_number = false;
  uint64_t value = 0;           // of a number
  const char* bytes = nullptr;  // of a nested message or string
  size_t size = 0;

 private:
  [[noreturn]] static void malformed() {
    throw std::invalid_argument("compile: `options` is no serialised CompileOptionsProto");
  }
  void skip(uint64_t count) {
    if (count > static_cast<uint64_t>(end_ - at_)) malformed();
    at_ += count;
  }
  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) malformed();
      unsigned char byte = static_cast<unsigned char>(*at_++);
      result |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return result;
    }
    malformed();
  }

  const char* at_;
  const char* end_;
};

}  // namespace

void check_compile_options(const std::string& options, size_t num_devices) {
  uint64_t ordinal = 0, replicas = 0, partitions = 0;
  Fields outer(options.data(), options.size());
  while (outer.next()) {
    if (outer.number != kBuildOptions || outer.bytes == nullptr) continue;
    Fields inner(outer.bytes, outer.size);
    while (inner.next()) {
      if (!inner.is_number) continue;
      if (inner.number == kDeviceOrdinal) ordinal = inner.value;
      if (inner.number == kNumReplicas) replicas = inner.value;
      if (inner.number == kNumPartitions) partitions = inner.value;
    }
  }
  if (static_cast<int32_t>(ordinal) < 0) {
    throw std::invalid_argument("compile: `options` names the device ordinal " +
                                std::to_string(static_cast<int32_t>(ordinal)));
  }
  if (replicas == 0 || partitions == 0) {
    throw std::invalid_argument(
        "compile: `options` must set num_replicas and num_partitions, to 1 for one device");
  }
  if (replicas > num_devices || partitions > num_devices || replicas * partitions > num_devices) {
    throw std::invalid_argument("compile: `options` asks for " + std::to_string(replicas) +
                                " replica(s) of " + std::to_string(partitions) +
                                " partition(s); the client has " + std::to_string(num_devices) +
                                " device(s)");
  }
}

}  // namespace anima
