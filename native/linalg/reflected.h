// Products with the reflectors that reduced a symmetric matrix to tridiagonal form.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/parallel.h"
#include "linalg/packed.h"
#include "linalg/reflectors.h"
#include "linalg/tridiagonal_form.h"

namespace anima::linalg {

// A block of reflectors as I - V T V^T: `turned` is V^T and `scaled` is -V T^T, from row `first` on.
template <typename T>
struct ReflectorBlock {
  int first;
  Packed<T> turned, scaled;
};

// Of the reflectors in rows of `a`.
template <typename T>
ReflectorBlock<T> reflector_block(const UpperRows<T>& a, const T* taus, int begin, int count) {
  const int n = static_cast<int>(a.size()), first = begin + 1, size = n - first;
  std::vector<T> v(static_cast<size_t>(count) * size), t(count * count), scaled(v.size());
  const auto row = [&](int i) { return v.data() + static_cast<size_t>(i) * size; };
  for (int i = 0; i < count; ++i) {
    const T* from = a.row(begin + i);
    std::copy(from + first + i, from + n, row(i) + i);
    const T tau = taus[begin + i];
    t[i * count + i] = tau;
    std::vector<T> products(i);
    for (int k = 0; k < i; ++k) products[k] = dot(row(k) + i, row(i) + i, size - i);
    for (int k = 0; k < i; ++k) {
      T sum = 0;
      for (int l = k; l < i; ++l) sum += t[k * count + l] * products[l];
      t[k * count + i] = -tau * sum;
    }
  }
  const Packed<T> rows(count, size, row);
  std::vector<T> turned(v.size());  // -T V^T
  for (T& x : t) x = -x;
  rows.multiply(
      count, [&](int64_t i) { return t.data() + i * count; },
      [&](int64_t i) { return turned.data() + i * size; }, false);
  transpose(turned.data(), scaled.data(), count, size);
  return {first, rows, Packed<T>(size, count, [&](int64_t i) { return scaled.data() + i * count; })};
}

// Rows of `x`, of n numbers each, times the transpose of the product of all reflectors.
template <typename T>
void multiply_reflected(ffi::CallFrame& frame, const UpperRows<T>& a, const T* taus, T* x) {
  const int n = static_cast<int>(a.size());
  constexpr int kReflectors = 32;
  const int blocks = (n - 1 + kReflectors - 1) / kReflectors;
  std::vector<std::unique_ptr<ReflectorBlock<T>>> made(blocks);
  kernels::parallel_for(frame, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int at = static_cast<int>(i) * kReflectors;
      made[i] = std::make_unique<ReflectorBlock<T>>(
          reflector_block(a, taus, at, std::min(kReflectors, n - 1 - at)));
    }
  });
  constexpr int64_t kGrain = 32;
  kernels::parallel_for(frame, n, kGrain, [&](int64_t begin, int64_t end) {
    std::vector<T> products((end - begin) * kReflectors);
    const auto product = [&](int64_t i) { return products.data() + i * kReflectors; };
    for (int64_t i = blocks; i-- > 0;) {
      const ReflectorBlock<T>& block = *made[i];
      const auto row = [&](int64_t k) { return x + (begin + k) * n + block.first; };
      block.scaled.multiply(end - begin, row, product, false);
      block.turned.multiply(end - begin, product, row, true);
    }
  });
}

}  // namespace anima::linalg
