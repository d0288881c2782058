// Programs on several devices: what is checked before a launch.
//
// Invariant: XLA's CPU client is not given a launch on several devices that it would refuse. It makes each
// such launch wait for the one before, and one that it gave up half way (an argument of a wrong size, one
// that was donated elsewhere) never counts as over: every later one would wait for ever. Where a launch
// fails all the same, the later ones are refused here.
#include "pjrt/internal.h"
#include "pjrt/protobuf.h"

namespace anima {
namespace {

constexpr uint32_t kProgramShape = 4;  // HloModuleProto.host_program_shape
constexpr uint32_t kParameters = 1;    // ProgramShapeProto
constexpr uint32_t kElementType = 2;   // ShapeProto
constexpr uint32_t kDimensions = 3;

Parameter read_shape(Fields shape) {
  Parameter parameter{PJRT_Buffer_Type_INVALID, {}};
  while (shape.next()) {
    if (shape.number == kElementType) parameter.type = type_of_xla(static_cast<int>(shape.value));
    if (shape.number != kDimensions) continue;
    if (shape.is_number) parameter.dims.push_back(static_cast<int64_t>(shape.value));
    if (shape.bytes == nullptr) continue;
    for (Fields list = shape.nested(); !list.done();)
      parameter.dims.push_back(static_cast<int64_t>(list.varint()));
  }
  return parameter;
}

std::vector<Parameter> read_parameters(const std::string& module) {
  std::vector<Parameter> parameters;
  Fields fields(module.data(), module.size(), "execute: the plugin's form of the program is no message");
  while (fields.next()) {
    if (fields.number != kProgramShape || fields.bytes == nullptr) continue;
    for (Fields shape = fields.nested(); shape.next();) {
      if (shape.number == kParameters && shape.bytes != nullptr)
        parameters.push_back(read_shape(shape.nested()));
    }
  }
  return parameters;
}

std::string place(size_t argument, const Device& device) {
  return "argument " + std::to_string(argument) + " on " + device.text;
}

}  // namespace

void Executable::check_arguments(Buffer* const* args, size_t num_args) {
  if (devices_.size() < 2 || owner_->platform() != "cpu") return;
  std::vector<Parameter> parameters;
  try {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!parameters_) parameters_ = read_parameters(optimized_program());
    parameters = *parameters_;
  } catch (const PjrtError& e) {
    if (e.code != PJRT_Error_Code_UNIMPLEMENTED) throw;
    return;
  }
  if (num_args != parameters.size()) {
    throw std::invalid_argument("execute: " + std::to_string(num_args) +
                                " arguments given, the program takes " + std::to_string(parameters.size()));
  }
  for (size_t i = 0; i < devices_.size() * num_args; ++i) {
    const Parameter& expected = parameters[i % num_args];
    if (args[i]->type() == expected.type && args[i]->dims() == expected.dims) continue;
    throw std::invalid_argument("execute: " + place(i % num_args, *devices_[i / num_args]) + " is " +
                                describe(args[i]->type(), args[i]->dims()) + ", the program takes " +
                                describe(expected.type, expected.dims));
  }
}

void Executable::check_partitioned_launch(Buffer* const* args, size_t num_args) const {
  if (owner_->platform() != "cpu") return;
  if (owner_->stuck_.load()) {
    throw PjrtError(PJRT_Error_Code_FAILED_PRECONDITION,
                    "FAILED_PRECONDITION: an earlier program on several devices could not be launched, and "
                    "XLA would make this one wait for it for ever; programs on one device still run");
  }
  for (size_t i = 0; i < devices_.size() * num_args; ++i) {
    if (!args[i]->deleted()) continue;
    throw DeletedError("execute: " + place(i % num_args, *devices_[i / num_args]) +
                       " was deleted, or donated to another computation");
  }
}

}  // namespace anima
