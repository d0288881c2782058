// The reduction of real symmetric matrices to tridiagonal form, for sizes that fit in a core's caches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace anima::linalg {

// The upper triangle of a symmetric matrix, in rows that begin at whole lines of the cache. Rows are worked
// on in blocks, of which the squares on the diagonal are whole; else what stands below the diagonal and
// behind the last row and column is zero.
template <typename T>
class UpperRows {
 public:
  static constexpr int kBlock = 4;

  // Of a row-major matrix, of which the lower or the upper triangle counts.
  UpperRows(const T* from, int64_t n, bool lower) : n_(n), memory_(rows() * stride() + kLine) {
    const int64_t lines = reinterpret_cast<uintptr_t>(memory_.data()) % (kLine * sizeof(T));
    first_ = memory_.data() + (kLine - lines / sizeof(T)) % kLine;
    constexpr int64_t kSquare = 16;
    for (int64_t i0 = 0; i0 < n; i0 += kSquare) {
      for (int64_t j0 = i0; j0 < n; j0 += kSquare) {
        for (int64_t i = i0; i < std::min(i0 + kSquare, n); ++i) {
          const int64_t end = std::min(j0 + kSquare, n);
          for (int64_t j = std::max(i, j0); j < end; ++j)
            row(i)[j] = lower ? from[j * n + i] : from[i * n + j];
        }
      }
      for (int64_t i = i0; i < std::min(i0 + kSquare, n); ++i) {
        for (int64_t j = i / kBlock * kBlock; j < i; ++j) row(i)[j] = row(j)[i];
      }
    }
  }

  void multiply_by(T factor) {
    for (T& x : memory_) x *= factor;
  }

  int64_t size() const { return n_; }
  int64_t rows() const { return (n_ + kBlock - 1) / kBlock * kBlock; }
  int64_t stride() const { return (n_ / kLine + 2) * kLine; }  // with room for a vector behind each row
  T* row(int64_t i) { return first_ + i * stride(); }
  const T* row(int64_t i) const { return first_ + i * stride(); }

 private:
  static constexpr int64_t kLine = 64 / sizeof(T);

  const int64_t n_;
  std::vector<T> memory_;
  T* first_;
};

// Finds the diagonal `d`, what stands beside it, and the factors of reflectors: number i takes the place of
// row i from column i + 1 on, where it begins with a one.
template <typename T>
void reduce_to_tridiagonal(UpperRows<T>& a, T* d, T* e, T* taus);

}  // namespace anima::linalg
