// The C structs of XLA's foreign function interface, as far as they are used here and by handlers of users.
//
// Invariant: layouts match XLA FFI API 0.1 and later, but for states and types, which are those of 0.2 and
// later. Only what stands here is read or written, and nothing behind a struct's reported `struct_size`:
// later versions append fields. Nothing else is needed to include this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anima::ffi {

struct Api;
struct CallFrame;
struct Error;             // opaque; owned by whoever receives it
struct ExecutionContext;  // opaque

using Handler = Error*(CallFrame*);

struct Extension {
  size_t struct_size;
  int type;  // kMetadata, ...
  Extension* next;
};
constexpr int kMetadata = 1;

struct ApiVersion {
  size_t struct_size;
  Extension* extensions;
  int major_version;
  int minor_version;
};

// XLA calls a handler once at registration with this extension, to ask what the handler is built for.
struct Metadata {
  size_t struct_size;
  ApiVersion api_version;
  uint32_t traits;
};
struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

// Numbers of xla.PrimitiveType, which are not those of PJRT_Buffer_Type.
enum class DataType : int {
  kPred = 1,
  kS8 = 2,
  kS16 = 3,
  kS32 = 4,
  kS64 = 5,
  kU8 = 6,
  kU16 = 7,
  kU32 = 8,
  kU64 = 9,
  kF16 = 10,
  kF32 = 11,
  kF64 = 12,
  kC64 = 15,
  kBF16 = 16,
  kToken = 17,
  kC128 = 18,
  kF8E5M2 = 19,
  kF8E4M3FN = 20,
  kS4 = 21,
  kU4 = 22,
  kF8E4M3B11FNUZ = 23,
  kF8E5M2FNUZ = 24,
  kF8E4M3FNUZ = 25,
  kS2 = 26,
  kU2 = 27,
  kF8E4M3 = 28,
  kF8E3M4 = 29,
  kF4E2M1FN = 32,
  kF8E8M0FNU = 33,
};

struct Buffer {
  size_t struct_size;
  Extension* extensions;
  DataType type;
  void* data;
  int64_t rank;
  int64_t* dims;
};

// Operands and results have one layout: parallel lists of kinds (1: a buffer) and pointers.
struct Values {
  size_t struct_size;
  Extension* extensions;
  int64_t size;
  int* kinds;
  void** items;

  const Buffer& buffer(int64_t i) const { return *static_cast<const Buffer*>(items[i]); }
};
constexpr int kBufferValue = 1;

struct ByteSpan {
  const char* data;
  size_t size;
};
// What an attribute is, and where its item points.
constexpr int kArrayAttribute = 1;       // to an Array
constexpr int kDictionaryAttribute = 2;  // to Attributes
constexpr int kScalarAttribute = 3;      // to a Scalar
constexpr int kStringAttribute = 4;      // to a ByteSpan
struct Scalar {
  DataType type;
  void* value;
};
struct Array {
  DataType type;
  size_t size;
  void* data;
};
struct Attributes {
  size_t struct_size;
  Extension* extensions;
  int64_t size;  // sorted by name
  int* kinds;
  ByteSpan** names;
  void** items;
};

enum class Stage : int { kInstantiate = 0, kPrepare = 1, kInitialize = 2, kExecute = 3 };

struct CallFrame {
  size_t struct_size;
  Extension* extensions;
  const Api* api;
  ExecutionContext* context;
  Stage stage;
  Values args;
  Values rets;
  Attributes attrs;
};

// absl's numbers, which are PJRT's too.
enum class ErrorCode : int {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

struct ErrorCreateArgs {
  size_t struct_size;
  Extension* extensions;
  const char* message;
  ErrorCode code;
};
struct ErrorMessageArgs {
  size_t struct_size;
  Extension* extensions;
  Error* error;
  const char* message;  // out
};
struct ErrorDestroyArgs {
  size_t struct_size;
  Extension* extensions;
  Error* error;
};

struct HandlerBundle {  // one function a stage; all but the last may be null
  Handler* instantiate;
  Handler* prepare;
  Handler* initialize;
  Handler* execute;
};
struct HandlerRegisterArgs {
  size_t struct_size;
  Extension* extensions;
  ByteSpan name;
  ByteSpan platform;
  HandlerBundle bundle;
  uint32_t traits;
};

// Types of states: XLA gives each its number at registration, which goes where the library keeps its own.
struct TypeId {
  int64_t number;  // 0: not registered yet
};
struct TypeInfo {
  size_t struct_size;
  Extension* extensions;
  void (*deleter)(void* object);
};
struct TypeRegisterArgs {
  size_t struct_size;
  Extension* extensions;
  ByteSpan name;
  TypeId* type_id;  // in and out
  const TypeInfo* info;
};

// A state goes in, or comes out. Since version 0.3 the call says which stage made it.
struct StateArgs {
  size_t struct_size;
  Extension* extensions;
  ExecutionContext* context;
  TypeId* type_id;
  void* state;
};
struct StagedStateArgs {
  size_t struct_size;
  Extension* extensions;
  ExecutionContext* context;
  Stage stage;
  TypeId* type_id;
  void* state;
};
constexpr int kStagedStatesMinor = 3;

struct StreamGetArgs {
  size_t struct_size;
  Extension* extensions;
  ExecutionContext* context;
  void* stream;  // out: a CUstream on CUDA devices
};
struct ThreadPoolScheduleArgs {
  size_t struct_size;
  Extension* extensions;
  ExecutionContext* context;
  void (*task)(void* data);
  void* data;
};
struct ThreadPoolSizeArgs {
  size_t struct_size;
  Extension* extensions;
  ExecutionContext* context;
  int64_t* num_threads;  // out
};

struct Api {
  size_t struct_size;
  Extension* extensions;
  ApiVersion version;
  void* internal;

  Error* (*error_create)(ErrorCreateArgs*);
  void (*error_message)(ErrorMessageArgs*);
  void (*error_destroy)(ErrorDestroyArgs*);
  Error* (*handler_register)(HandlerRegisterArgs*);
  Error* (*stream_get)(StreamGetArgs*);
  Error* (*type_register)(TypeRegisterArgs*);
  void* context_get;
  Error* (*state_set)(void* args);  // StateArgs or StagedStateArgs
  Error* (*state_get)(void* args);
  void* memory_allocate;
  void* memory_free;
  Error* (*pool_schedule)(ThreadPoolScheduleArgs*);
  Error* (*pool_size)(ThreadPoolSizeArgs*);
};

}  // namespace anima::ffi
