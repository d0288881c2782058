// The seal on serialised executables.
//
// Invariant: XLA is given only bytes that it wrote itself, but for what lean.cc leaves out, for the same
// platform. Its loader trusts them: of executables with a few bytes altered, one in thirty ends the process
// while it is loaded, and the others may do so when they run. The seal finds accidents, not forgeries.
#include "pjrt/internal.h"

namespace anima {
namespace {

constexpr char kMagic[8] = {'a', 'n', 'i', 'm', 'a', 'x', '0', '1'};

struct Header {
  char magic[8];
  uint64_t origin;    // what wrote the payload
  uint64_t checksum;  // of the payload and its length
};

uint64_t mix(uint64_t hash, uint64_t word) {
  // Each step can be undone, so that two texts that differ in one word never meet again.
  hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 32);
}

uint64_t checksum_of(const char* data, size_t size) {
  uint64_t hash = mix(0, size);
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    hash = mix(hash, word);
  }
  uint64_t rest = 0;
  if (size > 0) std::memcpy(&rest, data, size);
  return mix(hash, rest);
}

uint64_t origin_of(const Client& client) {
  auto [major, minor] = client.plugin()->api_version();
  std::string text = client.platform() + '\n' + client.platform_version() + '\n' + std::to_string(major) +
                     '.' + std::to_string(minor);
  return checksum_of(text.data(), text.size());
}

[[noreturn]] void refuse(const char* why) {
  throw PjrtError(PJRT_Error_Code_DATA_LOSS,
                  std::string("DATA_LOSS: these bytes are no executable that can be loaded: ") + why);
}

}  // namespace

std::string seal(const Client& client, const char* data, size_t size) {
  Header header;
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.origin = origin_of(client);
  header.checksum = checksum_of(data, size);
  std::string sealed(sizeof(header) + size, '\0');
  std::memcpy(sealed.data(), &header, sizeof(header));
  if (size > 0) std::memcpy(sealed.data() + sizeof(header), data, size);
  return sealed;
}

std::string_view unseal(const Client& client, const std::string& sealed) {
  Header header;
  if (sealed.size() < sizeof(header)) refuse("they are too few");
  std::memcpy(&header, sealed.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    refuse("Executable.serialize() did not make them");
  std::string_view payload(sealed.data() + sizeof(header), sealed.size() - sizeof(header));
  if (header.checksum != checksum_of(payload.data(), payload.size())) {
    refuse("they were altered or cut short since they were made");
  }
  if (header.origin != origin_of(client)) refuse("another plugin, or another version of it, made them");
  return payload;
}

}  // namespace anima
