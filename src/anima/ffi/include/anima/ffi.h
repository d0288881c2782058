// For writing handlers of custom calls in C++17, without another header.
//
//   #include <anima/ffi.h>
//
//   static void scale(anima::ffi::Call& call) {
//     auto x = call.operand<float>(0);
//     auto y = call.result<float>(0);
//     const float by = call.attribute<float>("by");
//     if (x.size() != y.size()) throw anima::ffi::Failure("scale: the shapes differ");
//     for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * by;
//   }
//   ANIMA_FFI_HANDLER(Scale, scale);
//
// Build it as a shared library with `-I` and the folder of `anima.ffi.include_dir()`; `Scale` is what
// `anima.ffi.pycapsule` takes. Handlers written with XLA's own headers are as good, where the plugin is as
// new.
//
// Invariant: no exception leaves a handler: it becomes the error of the program that called it. Kinds, dtypes
// and positions are checked when they are asked for; what the shapes mean is the handler's to check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "anima/ffi_abi.h"

namespace anima::ffi {

// The error of a program, with its code.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& message, ErrorCode code = ErrorCode::kInvalidArgument)
      : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// The element type of a C++ type. Half-width and 8-bit floats have none in C++: take them from `any_operand`.
template <class T>
constexpr DataType data_type() {
  using U = std::remove_const_t<T>;
  if constexpr (std::is_same_v<U, bool>) {
    return DataType::kPred;
  } else if constexpr (std::is_floating_point_v<U>) {
    static_assert(sizeof(U) == 4 || sizeof(U) == 8, "no array has elements of this type");
    return sizeof(U) == 4 ? DataType::kF32 : DataType::kF64;
  } else {
    static_assert(std::is_integral_v<U> && sizeof(U) <= 8, "no array has elements of this type");
    constexpr int power = sizeof(U) == 1 ? 0 : sizeof(U) == 2 ? 1 : sizeof(U) == 4 ? 2 : 3;
    return static_cast<DataType>(static_cast<int>(std::is_signed_v<U> ? DataType::kS8 : DataType::kU8) +
                                 power);
  }
}

// Elements that somebody else owns.
template <class T>
class Span {
 public:
  Span(T* data, size_t size) : data_(data), size_(size) {}
  T* data() const { return data_; }
  size_t size() const { return size_; }
  T* begin() const { return data_; }
  T* end() const { return data_ + size_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_;
  size_t size_;
};

inline size_t count_of(const Buffer& buffer) {
  size_t count = 1;
  for (int64_t i = 0; i < buffer.rank; ++i) count *= static_cast<size_t>(buffer.dims[i]);
  return count;
}

// An operand or a result: all of its elements in the order of its layout, and its dimensions.
template <class T>
class Tensor : public Span<T> {
 public:
  explicit Tensor(const Buffer& buffer)
      : Span<T>(static_cast<T*>(buffer.data), count_of(buffer)),
        dims_(buffer.dims, static_cast<size_t>(buffer.rank)) {}
  Span<const int64_t> dims() const { return dims_; }
  size_t rank() const { return dims_.size(); }
  int64_t dim(size_t i) const {
    if (i >= rank()) throw Failure("there is no dimension " + std::to_string(i));
    return dims_[i];
  }

 private:
  Span<const int64_t> dims_;
};

// The attributes of a call, or a dictionary among them.
class Dictionary {
 public:
  explicit Dictionary(const Attributes& attributes) : attributes_(&attributes) {}

  size_t size() const { return static_cast<size_t>(attributes_->size); }
  bool has(std::string_view name) const { return place(name) >= 0; }

  template <class T>
  T number(std::string_view name) const {
    const auto& scalar = *static_cast<const Scalar*>(find(name, kScalarAttribute, "a number"));
    if (scalar.type != data_type<T>()) throw wrong(name, "a number of the type asked for");
    return *static_cast<const T*>(scalar.value);
  }
  std::string_view string(std::string_view name) const {
    const auto& span = *static_cast<const ByteSpan*>(find(name, kStringAttribute, "a string"));
    return {span.data, span.size};
  }
  template <class T>
  Span<const T> array(std::string_view name) const {
    const auto& array = *static_cast<const Array*>(find(name, kArrayAttribute, "an array"));
    if (array.type != data_type<T>()) throw wrong(name, "an array of the type asked for");
    return {static_cast<const T*>(array.data), array.size};
  }
  Dictionary dictionary(std::string_view name) const {
    return Dictionary(*static_cast<const Attributes*>(find(name, kDictionaryAttribute, "a dictionary")));
  }

 private:
  int64_t place(std::string_view name) const {
    for (int64_t i = 0; i < attributes_->size; ++i) {
      const ByteSpan& span = *attributes_->names[i];
      if (std::string_view(span.data, span.size) == name) return i;
    }
    return -1;
  }
  const void* find(std::string_view name, int kind, const char* what) const {
    const int64_t i = place(name);
    if (i < 0) throw Failure("there is no attribute '" + std::string(name) + "'");
    if (attributes_->kinds[i] != kind) throw wrong(name, what);
    return attributes_->items[i];
  }
  static Failure wrong(std::string_view name, const std::string& what) {
    return Failure("the attribute '" + std::string(name) + "' is not " + what);
  }

  const Attributes* attributes_;
};

// One call of a handler.
class Call {
 public:
  explicit Call(CallFrame& frame) : frame_(frame) {}

  CallFrame& frame() const { return frame_; }
  Stage stage() const { return frame_.stage; }
  size_t operands() const { return static_cast<size_t>(frame_.args.size); }
  size_t results() const { return static_cast<size_t>(frame_.rets.size); }

  const Buffer& any_operand(size_t i) const { return checked(frame_.args, i, "operand"); }
  const Buffer& any_result(size_t i) const { return checked(frame_.rets, i, "result"); }
  template <class T>
  Tensor<const T> operand(size_t i) const {
    return Tensor<const T>(typed<T>(any_operand(i), i, "operand"));
  }
  template <class T>
  Tensor<T> result(size_t i) const {
    return Tensor<T>(typed<T>(any_result(i), i, "result"));
  }

  Dictionary attributes() const { return Dictionary(frame_.attrs); }
  template <class T>
  T attribute(std::string_view name) const {
    return attributes().number<T>(name);
  }

  // Of CUDA and ROCm devices: what to launch work on.
  void* stream() const {
    StreamGetArgs args{sizeof(StreamGetArgs), nullptr, frame_.context, nullptr};
    check(frame_.api->stream_get(&args));
    return args.stream;
  }

  // What the stage "instantiate" makes for all calls of one place in a program: its type is registered
  // with `anima.ffi.register_ffi_type`, whose `TypeInfo` says how XLA deletes it.
  void set_state(TypeId& type, void* state) const { pass_state(frame_.api->state_set, type, state); }
  template <class T>
  T& state(TypeId& type) const {
    return *static_cast<T*>(pass_state(frame_.api->state_get, type, nullptr));
  }

  // Throws what XLA reports.
  void check(Error* error) const {
    if (error == nullptr) return;
    ErrorMessageArgs message{sizeof(ErrorMessageArgs), nullptr, error, nullptr};
    frame_.api->error_message(&message);
    const std::string text = message.message;
    ErrorDestroyArgs destroy{sizeof(ErrorDestroyArgs), nullptr, error};
    frame_.api->error_destroy(&destroy);
    throw Failure(text, ErrorCode::kInternal);
  }

 private:
  void* pass_state(Error* (*function)(void*), TypeId& type, void* state) const {
    if (frame_.api->version.minor_version < kStagedStatesMinor) {
      StateArgs args{sizeof(StateArgs), nullptr, frame_.context, &type, state};
      check(function(&args));
      return args.state;
    }
    StagedStateArgs args{sizeof(StagedStateArgs), nullptr, frame_.context, Stage::kInstantiate, &type, state};
    check(function(&args));
    return args.state;
  }
  static const Buffer& checked(const Values& values, size_t i, const char* what) {
    if (i >= static_cast<size_t>(values.size)) {
      throw Failure("there is no " + std::string(what) + " " + std::to_string(i) + ": the call has " +
                    std::to_string(values.size));
    }
    if (values.kinds[i] != kBufferValue) throw Failure(std::string(what) + " is no array");
    return values.buffer(static_cast<int64_t>(i));
  }
  template <class T>
  static const Buffer& typed(const Buffer& buffer, size_t i, const char* what) {
    if (buffer.type != data_type<T>()) {
      throw Failure(std::string(what) + " " + std::to_string(i) +
                    " has another element type: XLA's number of it is " +
                    std::to_string(static_cast<int>(buffer.type)));
    }
    return buffer;
  }

  CallFrame& frame_;
};

// Answers the question for which version a handler is made, with the version of who asks: what is used here
// is in all of them.
inline bool answers_metadata(CallFrame& frame) noexcept {
  for (Extension* e = frame.extensions; e != nullptr; e = e->next) {
    if (e->type != kMetadata) continue;
    Metadata& metadata = *reinterpret_cast<MetadataExtension*>(e)->metadata;
    metadata.api_version.major_version = frame.api->version.major_version;
    metadata.api_version.minor_version = frame.api->version.minor_version;
    return true;
  }
  return false;
}

inline Error* error_of(const CallFrame& frame, const char* message, ErrorCode code) noexcept {
  ErrorCreateArgs args{sizeof(ErrorCreateArgs), nullptr, message, code};
  return frame.api->error_create(&args);
}

template <class Body>
Error* run_handler(CallFrame* frame, Body body) noexcept {
  if (answers_metadata(*frame)) return nullptr;
  try {
    Call call(*frame);
    body(call);
    return nullptr;
  } catch (const Failure& failure) {
    return error_of(*frame, failure.what(), failure.code());
  } catch (const std::bad_alloc&) {
    return error_of(*frame, "out of memory", ErrorCode::kResourceExhausted);
  } catch (const std::exception& error) {
    return error_of(*frame, error.what(), ErrorCode::kInternal);
  } catch (...) {
    return error_of(*frame, "a C++ exception of an unknown type", ErrorCode::kUnknown);
  }
}

}  // namespace anima::ffi

#ifdef _WIN32
#define ANIMA_FFI_EXPORT __declspec(dllexport)
#else
#define ANIMA_FFI_EXPORT __attribute__((visibility("default")))
#endif

// Defines the function `symbol`, a handler whose work is `body`: a function of `anima::ffi::Call&`.
#define ANIMA_FFI_HANDLER(symbol, body)                                                     \
  extern "C" ANIMA_FFI_EXPORT ::anima::ffi::Error* symbol(::anima::ffi::CallFrame* frame) { \
    return ::anima::ffi::run_handler(frame, body);                                          \
  }                                                                                         \
  static_assert(true, "for the semicolon")
