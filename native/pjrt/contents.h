// The memory of a small buffer that XLA has not heard of.
//
// Invariant: contents are filled by whoever makes them, before a buffer has them, and never change after
// that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pjrt_c_api.h"

namespace anima {

class Contents;
struct FreeContents {
  void operator()(Contents* contents) const noexcept;
};
using ContentsRef = std::unique_ptr<Contents, FreeContents>;

// A description and, behind it, the elements: dense and row-major, aligned as XLA aligns its own.
class alignas(64) Contents {
 public:
  static constexpr size_t kMostBytes = 4096;
  static constexpr size_t kMostDims = 6;
  // Whether an array may have contents: it is small, and no element shares a byte with another one.
  static bool suits(PJRT_Buffer_Type type, const std::vector<int64_t>& dims);
  // To be filled. The array must suit; throws std::bad_alloc.
  static ContentsRef make(PJRT_Buffer_Type type, const std::vector<int64_t>& dims);

  void* data() { return this + 1; }
  PJRT_Buffer_Type type() const { return type_; }
  const int64_t* dims() const { return dims_; }
  size_t num_dims() const { return num_dims_; }
  size_t bytes() const { return bytes_; }

 private:
  friend struct FreeContents;
  Contents() = default;

  PJRT_Buffer_Type type_;
  uint8_t num_dims_;
  uint8_t offset_;  // from the start of the allocated memory
  uint16_t bytes_;
  int64_t dims_[kMostDims];
};
static_assert(sizeof(Contents) == 64, "the elements follow, aligned");

}  // namespace anima
