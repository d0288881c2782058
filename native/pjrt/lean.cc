// Serialised executables without what running them does not need.
//
// Invariant: what is not known to be laid out as below stays as it is, byte for byte, and of what is only the
// positions of instructions in a source go, which programs of ours do not have. XLA makes an object of each,
// three times, when it reads an executable: a tenth of the time of reading a large program.
#include <stdexcept>

#include "pjrt/internal.h"
#include "pjrt/protobuf.h"

namespace anima {
namespace {

// Fields of ExecutableAndOptionsProto, CompilationResultProto, HloModuleProtoWithConfig, HloModuleProto,
// HloComputationProto and HloInstructionProto.
constexpr uint32_t kExecutable = 1, kProgram = 1, kModule = 1, kComputation = 3, kInstruction = 2;
constexpr uint32_t kName = 1, kOpcode = 2, kShape = 3, kMetadata = 7;

constexpr const char* kUnknown = "the executable is laid out in a way that is not known";

Fields fields_of(std::string_view message) { return Fields(message.data(), message.size(), kUnknown); }

void append_varint(std::string& out, uint64_t value) {
  for (; value > 0x7f; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// The message with what `change` makes of each message in its fields of this number.
template <class Change>
std::string changed(std::string_view message, uint32_t number, const Change& change) {
  std::string out;
  out.reserve(message.size());
  Fields fields = fields_of(message);
  for (const char* start = fields.position(); fields.next(); start = fields.position()) {
    if (fields.number != number) {
      out.append(start, fields.position());
      continue;
    }
    if (fields.bytes == nullptr) throw std::invalid_argument(kUnknown);
    std::string inner = change(std::string_view(fields.bytes, fields.size));
    append_varint(out, uint64_t{number} << 3 | 2);
    append_varint(out, inner.size());
    out += inner;
  }
  return out;
}

bool is_opcode(std::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == text.npos;
}

std::string lean_instruction(std::string_view message) {
  std::string out;
  out.reserve(message.size());
  bool named = false, shaped = false, known = false;
  Fields fields = fields_of(message);
  for (const char* start = fields.position(); fields.next(); start = fields.position()) {
    if (fields.bytes != nullptr) {
      named = named || fields.number == kName;
      shaped = shaped || fields.number == kShape;
      known = known || (fields.number == kOpcode && is_opcode({fields.bytes, fields.size}));
      if (fields.number == kMetadata) continue;
    }
    out.append(start, fields.position());
  }
  if (!named || !shaped || !known) throw std::invalid_argument(kUnknown);
  return out;
}

std::string lean_computation(std::string_view message) {
  return changed(message, kInstruction, lean_instruction);
}

std::string lean_module(std::string_view message) { return changed(message, kComputation, lean_computation); }

std::string lean_program(std::string_view message) { return changed(message, kModule, lean_module); }

std::string lean_result(std::string_view message) { return changed(message, kProgram, lean_program); }

}  // namespace

std::string lean(std::string_view executable) {
  try {
    return changed(executable, kExecutable, lean_result);
  } catch (const std::invalid_argument&) {
    return std::string(executable);
  }
}

}  // namespace anima
