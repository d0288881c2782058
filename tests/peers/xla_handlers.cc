// Handlers that are written with XLA's own headers, for test_ffi_peer.py.
#include <cstdint>
#include <memory>
#include <string_view>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

static ffi::Error ScaleImpl(float by, std::string_view how, ffi::Span<const int64_t> shift,
                            ffi::Buffer<ffi::F32> x, ffi::ResultBuffer<ffi::F32> y) {
  if (how != "exactly") return ffi::Error::InvalidArgument("how is wrong");
  for (size_t i = 0; i < x.element_count(); ++i) {
    y->typed_data()[i] = x.typed_data()[i] * by + static_cast<float>(shift[i % shift.size()]);
  }
  return ffi::Error::Success();
}
XLA_FFI_DEFINE_HANDLER_SYMBOL(XlaScale, ScaleImpl,
                              ffi::Ffi::Bind()
                                  .Attr<float>("by")
                                  .Attr<std::string_view>("how")
                                  .Attr<ffi::Span<const int64_t>>("shift")
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>());
