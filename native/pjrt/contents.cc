#include "pjrt/contents.h"

#include <cstdlib>
#include <new>

#include "pjrt/client.h"

namespace anima {

void FreeContents::operator()(Contents* contents) const noexcept {
  std::free(reinterpret_cast<char*>(contents) - contents->offset_);
}

bool Contents::suits(PJRT_Buffer_Type type, const std::vector<int64_t>& dims) {
  size_t bits = bits_of(type);
  return bits >= 8 && dims.size() <= kMostDims && dense_bytes(type, dims) <= kMostBytes;
}

ContentsRef Contents::make(PJRT_Buffer_Type type, const std::vector<int64_t>& dims) {
  size_t bytes = dense_bytes(type, dims);
  // Four times as quick as aligned_alloc, which keeps no small blocks at hand.
  size_t slack = alignof(Contents) - 1;
  char* start = static_cast<char*>(std::malloc(sizeof(Contents) + bytes + slack));
  if (start == nullptr) throw std::bad_alloc();
  size_t offset = (0 - reinterpret_cast<size_t>(start)) & slack;
  ContentsRef contents(new (start + offset) Contents());
  contents->type_ = type;
  contents->num_dims_ = static_cast<uint8_t>(dims.size());
  contents->offset_ = static_cast<uint8_t>(offset);
  contents->bytes_ = static_cast<uint16_t>(bytes);
  for (size_t i = 0; i < dims.size(); ++i) contents->dims_[i] = dims[i];
  return contents;
}

}  // namespace anima
