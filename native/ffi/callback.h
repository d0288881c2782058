// Python functions that XLA programs call.
#pragma once

#include <cstdint>
#include <string>

#include "common/py.h"
#include "pjrt/client.h"

namespace anima::ffi {

// All need the GIL.
uint64_t register_callback(PyObject* function);  // the number that programs pass as first operand
bool release_callback(uint64_t id);              // false if there is none
// The newest exception of a callback whose text occurs in `message` (each does in its execution's
// error; any if `message` is empty), or null. Each is handed out once.
PyRef take_callback_error(const std::string& message);

// Registers the handler "anima_python_callback" with a plugin for CPU or CUDA devices. Throws PluginError on
// others.
void register_python_callback(Plugin& plugin);

}  // namespace anima::ffi
