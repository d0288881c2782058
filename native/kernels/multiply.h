// Small products of matrices that stay in registers, of which convolutions are made.
//
// Invariant: a `Multiply` adds up `count` outer products for each segment, in order, and touches exactly the
// elements that these and the results are. Rows of the left matrix may lie anywhere.
#pragma once

#include <cstdint>
#include <cstring>

namespace anima::kernels {

constexpr int64_t kMostRows = 8;  // of one small product
constexpr int64_t kDotRows = 6, kDotColumns = 4;
constexpr int kWidths = 3;  // of the right matrix: 1, 2 and 4 vectors

// Terms `a[i][k * a_step] * b[k * b_step + j]` of the element in row i and column j.
template <typename T>
struct Segment {
  const T* a[kMostRows];
  const T* b;
  int64_t count;
};

template <typename T>
struct Product {
  const Segment<T>* segments;
  int64_t count, a_step, b_step;
  T* const* rows;  // of the result
  int64_t width;   // columns of the result that exist; the right matrix has those of whole vectors
  bool adds;       // to what the result holds
  // So many products, for each of which rows of the left matrix and of the result lie so much further on.
  int64_t repeats = 1, a_skip = 0, row_skip = 0;
};

template <typename T>
using Multiply = void (*)(const Product<T>&);

// The small products that this processor is best at.
template <typename T>
struct Multipliers {
  struct Width {
    int64_t columns, rows;                // of a product, at most
    Multiply<T> multiply[kMostRows + 1];  // by the number of rows
  };
  Width widths[kWidths];  // the widest last; unused ones have no columns

  // Products of kDotRows rows with few columns, by their number: their terms are `a[i][k] * b[j * b_step +
  // k]`.
  Multiply<T> dots[kDotColumns + 1];

  const Width& widest() const { return widths[2].columns != 0 ? widths[2] : widths[1]; }
  // The narrowest that so many columns fit in, or the widest.
  const Width& for_columns(int64_t columns) const {
    for (const Width& width : widths) {
      if (columns <= width.columns) return width;
    }
    return widest();
  }
};
template <typename T>
const Multipliers<T>& multipliers();

}  // namespace anima::kernels
