// Writing and registering XLA FFI handlers.
//
// Invariant: no C++ exception leaves a handler, and a handler's answer to the metadata question is the
// version that the asking frame reports (any other answer makes XLA drop the registration silently).
#pragma once

#include <string>

#include "ffi/abi.h"
#include "pjrt/client.h"

namespace anima::ffi {

// An error for XLA, which owns it. `frame` must be the frame of the call.
Error* make_error(const CallFrame& frame, PJRT_Error_Code code, const char* message) noexcept;

// Answers the metadata question if `frame` asks it; false if the frame is an ordinary call.
bool answer_metadata(CallFrame& frame) noexcept;

// The error that stands for the exception in flight; to be called in a catch block only.
Error* error_in_flight(const CallFrame& frame) noexcept;

// A handler whose work is `Body`, a function that may throw (PjrtError keeps its code).
template <void (*Body)(CallFrame&)>
Error* handler(CallFrame* frame) noexcept {
  if (answer_metadata(*frame)) return nullptr;
  try {
    Body(*frame);
    return nullptr;
  } catch (...) {
    return error_in_flight(*frame);
  }
}

// False if the address certainly holds no function (code.cc).
bool is_code(const void* pointer);

// False if memory of this size certainly does not stand there (code.cc).
bool is_data(const void* pointer, size_t size, bool writable);

// The element type in PJRT's numbering, PJRT_Buffer_Type_INVALID if it has none.
PJRT_Buffer_Type pjrt_type(DataType type);

// Registers a handler for custom calls of this name with api_version 4. `platform` is XLA's name of
// it: "Host" for CPU, "CUDA", "ROCM". Registering the same handler again is allowed; another one under
// the same name throws PluginError, as does a plugin without the FFI extension.
void register_handler(Plugin& plugin, const std::string& name, const std::string& platform,
                      const HandlerBundle& bundle);

// Registers a type of states: `id`, which must live as long as the process, gets its number, or has one of
// another registration. `info` may be null: states of the type are never deleted then.
void register_type(Plugin& plugin, const std::string& name, const std::string& platform, TypeId* id,
                   const TypeInfo* info);

// Lets the partitioner divide custom calls of this name along leading dimensions. False if the plugin has no
// extension for it.
bool register_batch_partitionable(const Plugin& plugin, const std::string& name);

}  // namespace anima::ffi
