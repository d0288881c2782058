// A vector whose first N elements live inside it: the argument lists of a call without an allocation.
//
// Invariant: elements 0..size-1 are constructed, nothing else is. Not copyable and not movable, since
// it lives on the stack of the function that fills it.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace anima {

template <class T, size_t N>
class SmallVector {
 public:
  SmallVector() = default;
  SmallVector(const SmallVector&) = delete;
  SmallVector& operator=(const SmallVector&) = delete;
  ~SmallVector() {
    clear();
    if (data_ != inline_data()) std::allocator<T>().deallocate(data_, capacity_);
  }

  template <class... Args>
  T& emplace_back(Args&&... args) {
    if (size_ == capacity_) {
      T made(std::forward<Args>(args)...);  // first: an argument may be an element of this vector
      grow(2 * capacity_);
      return *new (data_ + size_++) T(std::move(made));
    }
    T* place = new (data_ + size_) T(std::forward<Args>(args)...);
    size_++;
    return *place;
  }
  void push_back(T value) { emplace_back(std::move(value)); }
  void pop_back() { data_[--size_].~T(); }
  void reserve(size_t wanted) {
    if (wanted > capacity_) grow(wanted);
  }
  // Appends default-constructed elements up to `wanted`, which is not smaller than size().
  void extend_to(size_t wanted) {
    reserve(wanted);
    while (size_ < wanted) new (data_ + size_++) T();
  }
  void clear() {
    while (size_ > 0) pop_back();
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }
  const T& back() const { return data_[size_ - 1]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }

 private:
  T* inline_data() { return reinterpret_cast<T*>(inline_); }
  void grow(size_t wanted) {
    T* fresh = std::allocator<T>().allocate(wanted);
    for (size_t i = 0; i < size_; i++) {
      new (fresh + i) T(std::move(data_[i]));
      data_[i].~T();
    }
    if (data_ != inline_data()) std::allocator<T>().deallocate(data_, capacity_);
    data_ = fresh;
    capacity_ = wanted;
  }

  alignas(T) unsigned char inline_[N * sizeof(T)];
  T* data_ = inline_data();
  size_t size_ = 0;
  size_t capacity_ = N;
};

}  // namespace anima
