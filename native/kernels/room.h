// Memory for what a kernel needs while it runs.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace anima::kernels {

// Memory that is not initialised. Large rooms ask for large pages, whose first use takes less time, and among
// which random accesses find their way more quickly: a shuffle of a million elements takes a quarter less.
class Room {
 public:
  // Room for `n` elements; what was there before is lost if it has to grow.
  template <typename T>
  T* of(int64_t n) {
    const size_t bytes = static_cast<size_t>(n) * sizeof(T);
    if (bytes > size_) allocate(bytes);
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };

  void allocate(size_t bytes) {
    constexpr size_t line = 64, large = size_t{2} << 20;
    const size_t alignment = bytes < large ? line : large;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    size_ = 0;
    data_.reset();
    data_.reset(static_cast<char*>(std::aligned_alloc(alignment, rounded)));
    if (data_ == nullptr) throw std::bad_alloc();
    size_ = rounded;
#ifdef MADV_HUGEPAGE
    if (rounded >= large) madvise(data_.get(), rounded, MADV_HUGEPAGE);  // a refusal does no harm
#endif
  }

  std::unique_ptr<char, Free> data_;
  size_t size_ = 0;
};

}  // namespace anima::kernels
