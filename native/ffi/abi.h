// XLA's foreign function interface and the PJRT extensions by which a plugin takes handlers.
//
// Invariant: the structs of the interface itself stand in `anima/ffi_abi.h`, which is installed for handlers
// of users.
#pragma once

#include "anima/ffi_abi.h"
#include "pjrt_c_api.h"

namespace anima::ffi {

// The PJRT extension of type 5 registers handlers.
struct PjrtRegisterHandlerArgs {
  size_t struct_size;
  const char* name;
  size_t name_size;
  void* handler;
  const char* platform;
  size_t platform_size;
  int traits;
};
struct PjrtFfiExtension {
  PJRT_Extension_Base base;
  void* type_register;
  void* user_data_add;
  PJRT_Error* (*register_handler)(PjrtRegisterHandlerArgs*);
};

// The one of type 2 says how the partitioner divides custom calls.
struct PjrtBatchPartitionableArgs {
  size_t struct_size;
  const char* name;
  size_t name_size;
};
struct PjrtPartitionerExtension {
  PJRT_Extension_Base base;
  void* register_partitioner;
  PJRT_Error* (*register_batch_partitionable)(PjrtBatchPartitionableArgs*);
};

}  // namespace anima::ffi
