// A look into a serialised CompileOptionsProto before XLA sees it.
//
// Invariant: only what would abort the process inside XLA is refused here: bytes that are no message, a
// negative device ordinal, and replica or partition counts that are zero or need more devices than
// there are.
#include "pjrt/internal.h"
#include "pjrt/protobuf.h"

namespace anima {
namespace {

constexpr uint32_t kBuildOptions = 3;   // CompileOptionsProto.executable_build_options
constexpr uint32_t kDeviceOrdinal = 1;  // ExecutableBuildOptionsProto
constexpr uint32_t kNumReplicas = 4;
constexpr uint32_t kNumPartitions = 5;

}  // namespace

void check_compile_options(const std::string& options, size_t num_devices) {
  uint64_t ordinal = 0, replicas = 0, partitions = 0;
  Fields outer(options.data(), options.size(), "compile: `options` is no serialised CompileOptionsProto");
  while (outer.next()) {
    if (outer.number != kBuildOptions || outer.bytes == nullptr) continue;
    Fields inner = outer.nested();
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
