// Products of row-major matrices on the calling thread alone: of parts that several threads compute at once,
// where BLAS would start threads of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/multiply.h"

namespace anima::linalg {

// The right matrix of products: panels of columns, each row of a panel behind the one before.
template <typename T>
class Packed {
 public:
  // `row(i)` points at the columns of row i.
  template <typename Row>
  Packed(int64_t rows, int64_t columns, const Row& row)
      : rows_(rows), columns_(columns), kind_(kernels::multipliers<T>().for_columns(columns)) {
    const int64_t panels = (columns + kind_.columns - 1) / kind_.columns;
    numbers_.assign(panels * kind_.columns * rows, T(0));
    for (int64_t i = 0; i < rows; ++i) {
      const T* from = row(i);
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t first = p * kind_.columns, count = std::min(kind_.columns, columns - first);
        std::copy(from + first, from + first + count, numbers_.data() + (p * rows + i) * kind_.columns);
      }
    }
  }

  // Row i of the result, which `to(i)` points at, becomes `from(i)` times the matrix, or is increased by it.
  template <typename From, typename To>
  void multiply(int64_t count, const From& from, const To& to, bool adds) const {
    for (int64_t first = 0; first < columns_; first += kind_.columns) {
      for (int64_t i = 0; i < count; i += kind_.rows) {
        const int64_t here = std::min(kind_.rows, count - i);
        kernels::Segment<T> segment = {{}, numbers_.data() + first * rows_, rows_};
        T* results[kernels::kMostRows];
        for (int64_t k = 0; k < here; ++k) {
          segment.a[k] = from(i + k);
          results[k] = to(i + k) + first;
        }
        kind_.multiply[here](
            {&segment, 1, 1, kind_.columns, results, std::min(kind_.columns, columns_ - first), adds});
      }
    }
  }

 private:
  const int64_t rows_, columns_;
  const typename kernels::Multipliers<T>::Width& kind_;
  std::vector<T> numbers_;
};

}  // namespace anima::linalg
