// The structs of DLPack, by which array libraries pass each other memory, and what they mean here.
//
// Layout facts: https://dmlc.github.io/dlpack/latest/c_api.html
#pragma once

#include <cstdint>

#include "pjrt/client.h"

namespace anima::dlpack {

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kRocm = 10 };

struct DeviceId {
  int32_t type;
  int32_t id;
};

struct DataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct Tensor {
  void* data;
  DeviceId device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: dense, row-major
  uint64_t byte_offset;
};

struct Managed {  // capsule "dltensor"
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};

struct Version {
  uint32_t major;
  uint32_t minor;
};

constexpr uint64_t kReadOnly = 1;
constexpr uint64_t kCopied = 2;
constexpr uint64_t kSubBytePadded = 4;

struct ManagedVersioned {  // capsule "dltensor_versioned"
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  Tensor tensor;
};

constexpr const char* kName = "dltensor";
constexpr const char* kUsedName = "used_dltensor";
constexpr const char* kVersionedName = "dltensor_versioned";
constexpr const char* kUsedVersionedName = "used_dltensor_versioned";

struct TypePair {
  PJRT_Buffer_Type type;
  uint8_t code;
  uint8_t bits;
};
// Elements of less than a byte are left out: whether they are packed differs between libraries.
constexpr TypePair kTypes[] = {
    {PJRT_Buffer_Type_S8, 0, 8},         {PJRT_Buffer_Type_S16, 0, 16},
    {PJRT_Buffer_Type_S32, 0, 32},       {PJRT_Buffer_Type_S64, 0, 64},
    {PJRT_Buffer_Type_U8, 1, 8},         {PJRT_Buffer_Type_U16, 1, 16},
    {PJRT_Buffer_Type_U32, 1, 32},       {PJRT_Buffer_Type_U64, 1, 64},
    {PJRT_Buffer_Type_F16, 2, 16},       {PJRT_Buffer_Type_F32, 2, 32},
    {PJRT_Buffer_Type_F64, 2, 64},       {PJRT_Buffer_Type_BF16, 4, 16},
    {PJRT_Buffer_Type_C64, 5, 64},       {PJRT_Buffer_Type_C128, 5, 128},
    {PJRT_Buffer_Type_PRED, 6, 8},       {PJRT_Buffer_Type_F8E3M4, 7, 8},
    {PJRT_Buffer_Type_F8E4M3, 8, 8},     {PJRT_Buffer_Type_F8E4M3B11FNUZ, 9, 8},
    {PJRT_Buffer_Type_F8E4M3FN, 10, 8},  {PJRT_Buffer_Type_F8E4M3FNUZ, 11, 8},
    {PJRT_Buffer_Type_F8E5M2, 12, 8},    {PJRT_Buffer_Type_F8E5M2FNUZ, 13, 8},
    {PJRT_Buffer_Type_F8E8M0FNU, 14, 8},
};

}  // namespace anima::dlpack
