// Householder reflectors of real matrices, in blocks: Q = I - V T V^T for a panel of columns, found by
// halves, so that nearly all work is products of matrices.
//
// Invariant: matrices are row-major here. V has its ones and zeros written out, T is upper triangular, and
// both follow from the reflectors below the diagonal and their factors tau, as LAPACK stores them.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/clones.h"
#include "kernels/turn.h"
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

// Products of x with `kCount` vectors that lie `stride` apart.
template <typename T, int kCount>
ANIMA_CLONES void few_dots(const T* x, const T* y, int64_t stride, int n, T* results) {
  using Of = kernels::VectorOf<T>;
  constexpr int kSums = kCount == 1 ? 4 : 2;  // of each, for an addition takes as long as several steps
  typename Of::V sums[kCount][kSums] = {};
  int i = 0;
  for (; i + kSums * Of::kSize <= n; i += kSums * Of::kSize) {
    for (int k = 0; k < kSums; ++k) {
      typename Of::V a, b;
      kernels::load<1>(a, x + i + k * Of::kSize);
      for (int c = 0; c < kCount; ++c) {
        kernels::load<1>(b, y + c * stride + i + k * Of::kSize);
        sums[c][k] += a * b;
      }
    }
  }
  for (int c = 0; c < kCount; ++c) {
    if (kSums == 4) sums[c][0] += sums[c][kSums - 2], sums[c][1] += sums[c][kSums - 1];
    sums[c][0] += sums[c][1];
    T sum = 0;
    for (int k = 0; k < Of::kSize; ++k) sum += sums[c][0][k];
    for (int k = i; k < n; ++k) sum += x[k] * y[c * stride + k];
    results[c] = sum;
  }
}

template <typename T>
T dot(const T* x, const T* y, int n) {
  T result;
  few_dots<T, 1>(x, y, 0, n, &result);
  return result;
}

// Each of `kCount` vectors that lie `stride` apart is increased by a multiple of x.
template <typename T, int kCount>
ANIMA_CLONES void add_multiples(const T* factors, const T* x, T* y, int64_t stride, int n) {
  using Of = kernels::VectorOf<T>;
  int i = 0;
  for (; i + Of::kSize <= n; i += Of::kSize) {
    typename Of::V a, b;
    kernels::load<1>(a, x + i);
    for (int c = 0; c < kCount; ++c) {
      kernels::load<1>(b, y + c * stride + i);
      b += factors[c] * a;
      kernels::store<T>(y + c * stride + i, b);
    }
  }
  for (; i < n; ++i) {
    for (int c = 0; c < kCount; ++c) y[c * stride + i] += factors[c] * x[i];
  }
}

template <typename T>
void add_multiple(T factor, const T* x, T* y, int n) {
  add_multiples<T, 1>(&factor, x, y, 0, n);
}

constexpr int kTogether = 4;  // vectors for which another is read once

// Products of x with any number of vectors.
template <typename T>
void dots(const T* x, const T* y, int64_t stride, int count, int n, T* results) {
  int c = 0;
  for (; c + kTogether <= count; c += kTogether)
    few_dots<T, kTogether>(x, y + c * stride, stride, n, results + c);
  for (; c < count; ++c) results[c] = dot(x, y + c * stride, n);
}

// Takes the reflector with v and tau off any number of vectors.
template <typename T>
void take_off(T tau, const T* v, T* y, int64_t stride, int count, int n) {
  T factors[kTogether];
  for (int c = 0; c < count;) {
    const int here = c + kTogether <= count ? kTogether : 1;
    dots(v, y + c * stride, stride, here, n, factors);
    for (int k = 0; k < here; ++k) factors[k] *= -tau;
    if (here == 1) {
      add_multiples<T, 1>(factors, v, y + c * stride, stride, n);
    } else {
      add_multiples<T, kTogether>(factors, v, y + c * stride, stride, n);
    }
    c += here;
  }
}

template <typename T>
ANIMA_CLONES void divide_all(T* x, int n, T divisor) {
  for (int i = 0; i < n; ++i) x[i] /= divisor;
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
  divide_all(column + 1, n - 1, below);
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
  T* products;          // of two rows for each column

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
    if (columns > kNarrow) {
      const int left = (columns / 2 + kNarrow - 1) / kNarrow * kNarrow;
      find_t(first, left);
      find_t(first + left, columns - left);
      return join(first, left, columns - left);
    }
    const T* own = v + first * v_stride + first;
    add_product<T>(columns, columns, rows - first, T(1), own, v_stride, true, own, v_stride, T(0), workspace,
                   columns);
    for (int j = 0; j < columns; ++j) find_column(first, j, workspace + j, columns);
  }

  // Column j of T of those from `first` on, by the products of its column of V with those before.
  void find_column(int first, int j, const T* with, int stride) const {
    T* own = t + first * t_stride + first;
    for (int k = 0; k < j; ++k) {
      T sum = 0;
      for (int l = k; l < j; ++l) sum += own[k * t_stride + l] * with[l * stride];
      own[k * t_stride + j] = -taus[first + j] * sum;
    }
    own[j * t_stride + j] = taus[first + j];
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
    add_product<T>(count, columns, rows - first, T(1), v + first * v_stride + first, v_stride, true, c,
                   c_stride, T(0), products, columns);
    update(first, count, c, c_stride, columns, turned);
  }

  // c = Q c, where the first columns of c are those of the identity, as many as Q has reflectors.
  void apply_to_identity(int count, T* c, int c_stride, int columns) const {
    for (int i = 0; i < count; ++i) {
      for (int j = 0; j < count; ++j) products[i * columns + j] = v[j * v_stride + i];
    }
    add_product<T>(count, columns - count, rows, T(1), v, v_stride, true, c + count, c_stride, T(0),
                   products + count, columns);
    update(0, count, c, c_stride, columns, false);
  }

  // The rest of it, from V^T c on.
  void update(int first, int count, T* c, int c_stride, int columns, bool turned) const {
    T* scaled = products + static_cast<size_t>(count) * columns;
    add_product<T>(count, columns, count, T(1), t + first * t_stride + first, t_stride, turned, products,
                   columns, T(0), scaled, columns);
    add_product<T>(rows - first, columns, count, T(-1), v + first * v_stride + first, v_stride, false, scaled,
                   columns, T(1), c, c_stride);
  }

  // Column by column, where each lies together.
  void factor_narrow(int first, int columns) const {
    const int n = rows - first;
    const std::unique_ptr<T[]> turned(new T[static_cast<size_t>(n) * columns]);
    const auto column = [&](int j) { return turned.get() + static_cast<size_t>(j) * n; };
    T* from = a + static_cast<size_t>(first) * a_stride + first;
    kernels::turn(from, a_stride, turned.get(), n, n, columns);
    T upper[kNarrow][kNarrow];  // r, whose places v takes
    for (int j = 0; j < columns; ++j) {
      T* x = column(j);
      std::copy(x, x + j, upper[j]);
      std::fill(x, x + j, T(0));
      T& tau = taus[first + j] = T(0);
      upper[j][j] = reflect(x + j, n - j, &tau);
      if (tau != 0) take_off(tau, x + j, column(j + 1) + j, n, columns - j - 1, n - j);
      T with[kNarrow];
      dots(x + j, turned.get() + j, n, j, n - j, with);
      find_column(first, j, with, 1);
    }
    kernels::turn(turned.get(), n, v + static_cast<size_t>(first) * v_stride + first, v_stride, columns, n);
    kernels::turn(turned.get(), n, from, a_stride, columns, n);
    for (int j = 0; j < columns; ++j) {
      for (int i = 0; i <= j; ++i) from[static_cast<size_t>(i) * a_stride + j] = upper[j][i];
    }
  }
};

// What the panels of a matrix work with.
template <typename T>
class Panels {
 public:
  Panels(int rows, int columns, int count)
      : width_(std::min(kPanel, count)),
        v_(new T[static_cast<size_t>(rows) * width_]),
        workspace_(new T[2 * static_cast<size_t>(width_) * (width_ + columns)]) {}

  // The panel of so many columns whose first element is `a`, where V is not known below its square of zeros.
  Panel<T> at(T* a, int rows, int stride, T* taus, T* t, int columns) const {
    std::fill_n(v_.get(), columns * columns, T(0));
    T *const first = workspace_.get(), *const second = first + static_cast<size_t>(width_) * width_;
    return {a,
            rows,
            stride,
            taus,
            v_.get(),
            columns,
            t,
            columns,
            first,
            second,
            second + static_cast<size_t>(width_) * width_};
  }

 private:
  const int width_;
  const std::unique_ptr<T[]> v_, workspace_;
};

// Reflectors below the diagonal and r on and above it, for rows that stand `stride` apart. `ts` becomes the T
// of all panels, one behind the other.
template <typename T>
void factor_by_panels(T* a, int rows, int columns, int stride, T* taus, std::vector<T>& ts) {
  const int count = std::min(rows, columns);
  const Panels<T> panels(rows, columns, count);
  ts.assign(static_cast<size_t>(count) * kPanel, T(0));
  for (int first = 0; first < count; first += kPanel) {
    const int width = std::min(kPanel, count - first);
    T* from = a + static_cast<size_t>(first) * (stride + 1);
    const Panel<T> panel =
        panels.at(from, rows - first, stride, taus + first, ts.data() + first * kPanel, width);
    panel.factor(0, width);
    panel.apply(0, width, from + width, stride, columns - first - width, true);
  }
}

// The first columns of the product of `count` reflectors, in the place of the reflectors; `ts` is that of
// `factor_by_panels`, or empty.
template <typename T>
void multiply_by_panels(T* a, int rows, int columns, int count, const T* taus, std::vector<T>& ts) {
  const Panels<T> panels(rows, columns, count);
  const bool known = !ts.empty();
  if (!known) ts.assign(static_cast<size_t>(count) * kPanel, T(0));
  std::vector<T> factors(taus, taus + count);
  const auto row = [&](int i) { return a + static_cast<size_t>(i) * columns; };
  for (int i = 0; i < rows; ++i) std::fill(row(i) + count, row(i) + columns, T(0));
  for (int i = count; i < std::min(rows, columns); ++i) row(i)[i] = 1;
  for (int first = (count - 1) / kPanel * kPanel; first >= 0; first -= kPanel) {
    const int width = std::min(kPanel, count - first);
    const Panel<T> panel = panels.at(row(first) + first, rows - first, columns, factors.data() + first,
                                     ts.data() + first * kPanel, width);
    for (int i = 0; i < rows; ++i) {
      T* own = row(i) + first;
      if (i >= first) {
        T* to = panel.v + static_cast<size_t>(i - first) * width;
        std::copy(own, own + std::min(i - first, width), to);
        if (i - first < width) to[i - first] = 1;
      }
      std::fill(own, own + width, T(0));
      if (i >= first && i - first < width) own[i - first] = 1;
    }
    if (!known) panel.find_t(0, width);
    panel.apply_to_identity(width, panel.a, columns, columns - first);
  }
}

}  // namespace anima::linalg
