// Householder reflectors of real matrices, in blocks: Q = I - V T V^T for a panel of columns, found by
// halves, so that nearly all work is products of matrices.
//
// Invariant: matrices are row-major here. V has its ones and zeros written out, T is upper triangular, and
// both follow from the reflectors below the diagonal and their factors tau, as LAPACK stores them.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/clones.h"
#include "kernels/vectors.h"
#include "linalg/matrices.h"

namespace anima::linalg {

constexpr int kPanel = 96;  // columns of a panel: what lies to its right is updated by products of this depth
constexpr int kNarrow = 16;  // columns that are worked on one by one

// c += alpha * a b for row-major matrices, a being m x k, or turned.
template <typename T>
void add_product(int m, int n, int k, T alpha, const T* a, int a_stride, bool turned, const T* b,
                 int b_stride, T beta, T* c, int c_stride) {
  if (m == 0 || n == 0) return;
  gemm<T>('N', turned ? 'T' : 'N', n, m, k, alpha, b, b_stride, a, a_stride, beta, c, c_stride);
}

template <typename T>
ANIMA_CLONES T dot(const T* x, const T* y, int n) {
  using Of = kernels::VectorOf<T>;
  typename Of::V sums[4] = {};
  int i = 0;
  for (; i + 4 * Of::kSize <= n; i += 4 * Of::kSize) {
    for (int k = 0; k < 4; ++k) {
      typename Of::V a, b;
      kernels::load<1>(a, x + i + k * Of::kSize);
      kernels::load<1>(b, y + i + k * Of::kSize);
      sums[k] += a * b;
    }
  }
  sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  T sum = 0;
  for (int k = 0; k < Of::kSize; ++k) sum += sums[0][k];
  for (; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

template <typename T>
ANIMA_CLONES void add_multiple(T factor, const T* x, T* y, int n) {
  ANIMA_INDEPENDENT
  for (int i = 0; i < n; ++i) y[i] += factor * x[i];
}

// The Euclidean norm, without overflow or underflow.
template <typename T>
T norm(const T* x, int n) {
  const T square = dot(x, x, n);
  if (square < std::numeric_limits<T>::max() &&
      square > std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon())
    return std::sqrt(square);
  if (std::isnan(square)) return square;
  T largest = 0;
  for (int i = 0; i < n; ++i) {
    largest = std::max(largest, std::abs(x[i]));
  }
  if (largest == 0 || std::isinf(largest)) return largest;
  T sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i] / largest * (x[i] / largest);
  return largest * std::sqrt(sum);
}

// Makes a reflector of a column: v with v[0] = 1 in its place. Returns what it makes of the first element.
template <typename T>
T reflect(T* column, int n, T* tau) {
  const T first = column[0], rest = norm(column + 1, n - 1);
  column[0] = 1;
  if (rest == 0) {
    *tau = 0;
    return first;
  }
  const T result = -std::copysign(std::hypot(first, rest), first), below = first - result;
  *tau = -below / result;
  for (int i = 1; i < n; ++i) column[i] /= below;
  return result;
}

// Columns [first, first + columns) of a panel: a, v and t are those of the panel, of so many rows.
template <typename T>
struct Panel {
  T* a;
  int rows, a_stride;
  T* taus;
  T* v;
  int v_stride;
  T* t;
  int t_stride;
  T *workspace, *more;  // of as many numbers as t has

  // T of the columns from that of both halves.
  void join(int first, int left, int right) const {
    const int middle = first + left;
    add_product<T>(left, right, rows - middle, T(1), v + middle * v_stride + first, v_stride, true,
                   v + middle * v_stride + middle, v_stride, T(0), workspace, right);
    add_product<T>(left, right, left, T(-1), t + first * t_stride + first, t_stride, false, workspace, right,
                   T(0), more, right);
    add_product<T>(left, right, right, T(1), more, right, false, t + middle * t_stride + middle, t_stride,
                   T(0), t + first * t_stride + middle, t_stride);
  }

  // T of columns whose V is known.
  void find_t(int first, int columns) const {
    if (columns > 1) {
      const int left = columns / 2;
      find_t(first, left);
      find_t(first + left, columns - left);
      return join(first, left, columns - left);
    }
    t[first * t_stride + first] = taus[first];
  }

  void factor(int first, int columns) const {
    if (columns <= kNarrow) return factor_narrow(first, columns);
    const int left = (columns / 2 + kNarrow - 1) / kNarrow * kNarrow, right = columns - left;
    factor(first, left);
    apply(first, left, a + first * a_stride + first + left, a_stride, right, true);
    factor(first + left, right);
    join(first, left, right);
  }

  // c = Q c, or Q^T c, for c of the rows from `first` on.
  void apply(int first, int count, T* c, int c_stride, int columns, bool turned) const {
    if (columns == 0) return;
    const T* from = v + first * v_stride + first;
    std::vector<T> both(2 * static_cast<size_t>(count) * columns);
    T *product = both.data(), *scaled = product + static_cast<size_t>(count) * columns;
    add_product<T>(count, columns, rows - first, T(1), from, v_stride, true, c, c_stride, T(0), product,
                   columns);
    add_product<T>(count, columns, count, T(1), t + first * t_stride + first, t_stride, turned, product,
                   columns, T(0), scaled, columns);
    add_product<T>(rows - first, columns, count, T(-1), from, v_stride, false, scaled, columns, T(1), c,
                   c_stride);
  }

  // Column by column, where each lies together.
  void factor_narrow(int first, int columns) const {
    const int n = rows - first;
    std::vector<T> turned(static_cast<size_t>(n) * columns);
    const auto column = [&](int j) { return turned.data() + static_cast<size_t>(j) * n; };
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < columns; ++j)
        column(j)[i] = a[static_cast<size_t>(first + i) * a_stride + first + j];
    }
    std::vector<T> upper(kNarrow * kNarrow);  // r, whose places v takes
    for (int j = 0; j < columns; ++j) {
      T* x = column(j);
      std::copy(x, x + std::min(j, n), upper.data() + j * kNarrow);
      std::fill(x, x + std::min(j, n), T(0));
      T tau = 0;
      if (j < n) upper[j * kNarrow + j] = reflect(x + j, n - j, &tau);
      taus[first + j] = tau;
      T* own = t + first * t_stride + first;
      for (int k = j + 1; k < columns && tau != 0; ++k) {
        add_multiple(-tau * dot(x + j, column(k) + j, n - j), x + j, column(k) + j, n - j);
      }
      T products[kNarrow];
      for (int k = 0; k < j; ++k) products[k] = dot(column(k) + j, x + j, n - j);
      for (int k = 0; k < j; ++k) {
        T sum = 0;
        for (int l = k; l < j; ++l) sum += own[k * t_stride + l] * products[l];
        own[k * t_stride + j] = -tau * sum;
      }
      own[j * t_stride + j] = tau;
    }
    for (int i = 0; i < n; ++i) {
      T* to = a + static_cast<size_t>(first + i) * a_stride + first;
      T* to_v = v + static_cast<size_t>(first + i) * v_stride + first;
      for (int j = 0; j < columns; ++j) {
        to_v[j] = column(j)[i];
        to[j] = i <= j ? upper[j * kNarrow + i] : column(j)[i];
      }
    }
  }
};

// What panels of so many rows and columns, or fewer, work with.
template <typename T>
class Panels {
 public:
  Panels(int rows, int columns)
      : columns_(columns),
        v_(static_cast<size_t>(rows) * columns),
        t_(3 * static_cast<size_t>(columns) * columns) {}

  // The panel of so many columns whose first element is `a`.
  Panel<T> at(T* a, int rows, int stride, T* taus, int columns) {
    const size_t square = static_cast<size_t>(columns_) * columns_;
    std::fill_n(v_.begin(), static_cast<size_t>(rows) * columns, T(0));
    std::fill_n(t_.begin(), square, T(0));
    T* const t = t_.data();
    return {a, rows, stride, taus, v_.data(), columns, t, columns, t + square, t + 2 * square};
  }

 private:
  const int columns_;
  std::vector<T> v_, t_;
};

// Reflectors below the diagonal and r on and above it, for rows that stand `stride` apart.
template <typename T>
void factor_by_panels(T* a, int rows, int columns, int stride, T* taus) {
  const int count = std::min(rows, columns);
  Panels<T> panels(rows, std::min(kPanel, count));
  for (int first = 0; first < count; first += kPanel) {
    const int width = std::min(kPanel, count - first);
    T* from = a + static_cast<size_t>(first) * (stride + 1);
    const Panel<T> panel = panels.at(from, rows - first, stride, taus + first, width);
    panel.factor(0, width);
    panel.apply(0, width, from + width, stride, columns - first - width, true);
  }
}

// The first columns of the product of `count` reflectors, in the place of the reflectors.
template <typename T>
void multiply_by_panels(T* a, int rows, int columns, int count, const T* taus) {
  const std::vector<T> reflectors(a, a + static_cast<size_t>(rows) * columns);
  std::vector<T> factors(taus, taus + count);
  std::fill(a, a + static_cast<size_t>(rows) * columns, T(0));
  for (int i = 0; i < std::min(rows, columns); ++i) a[static_cast<size_t>(i) * (columns + 1)] = 1;
  Panels<T> panels(rows, std::min(kPanel, count));
  for (int first = (count - 1) / kPanel * kPanel; first >= 0 && count > 0; first -= kPanel) {
    const int width = std::min(kPanel, count - first);
    T* to = a + static_cast<size_t>(first) * (columns + 1);
    const Panel<T> panel = panels.at(to, rows - first, columns, factors.data() + first, width);
    for (int i = 0; i < panel.rows; ++i) {
      const T* row = reflectors.data() + static_cast<size_t>(first + i) * columns + first;
      std::copy(row, row + std::min(i, width), panel.v + static_cast<size_t>(i) * width);
      if (i < width) panel.v[i * width + i] = 1;
    }
    panel.find_t(0, width);
    panel.apply(0, width, to, columns, columns - first, false);
  }
}

}  // namespace anima::linalg
