// Passes of Fourier transforms, many transforms at a time: each lane of a vector belongs to another one.
//
// Invariant: an element of all lanes is a cell, a vector of real parts and one of imaginary parts behind it.
// A transform of n = r1 r2 ... elements is a `spread` for each radix but the last, which leaves results in an
// order of their own, and a `gather`, which puts them where `order` says. Functions touch exactly the
// elements that their arguments name.
#pragma once

#include <cstdint>

namespace anima::kernels {

constexpr int kMostRadix = 8;  // there are passes of 2, 3, 4, 5, 7 and 8; a gather of 1 only copies

// Where elements lie: as cells, or in rows of complex numbers, of which a vector is read or written.
enum class Lying { kCells = 0, kRows = 1 };

// A pass over `blocks` blocks of `length` elements.
template <typename T>
struct FftPass {
  const T* from;
  T* to;
  int64_t from_step, to_step;  // numbers between elements
  int64_t blocks, length;
  const T* factors;      // of a spread: for each place in a block, those of results 1, 2, ...
  const int32_t* order;  // of a gather: of each result, in order
  T scale;               // of a gather: what results are multiplied by
};

// A block of `count` rows of `n` elements that become lanes, from and to memory where they lie one behind the
// other, `step` numbers apart; or of columns, whose elements are that far apart. Where `count` is less than
// the lanes, the others have any values.
template <typename T>
struct FftBlock {
  T* memory;
  int64_t step, count, n;
  T* cells;
};

// Rows of cells turned into columns, each multiplied by two factors: element j of lane k is that of lane
// j % lanes of the cell `groups[j / lanes] + k`, times `by_lane[k]` in the same lane, times the number
// `by_group[j / lanes * factor_step + k]`.
template <typename T>
struct FftTurn {
  const T* from;
  int64_t from_step;  // numbers between groups
  int64_t count, n;   // lanes and elements that exist
  const T *by_lane, *by_group;
  int64_t factor_step;
  T* cells;
};

// Of real numbers, 2 n of them, taken as n complex ones.
template <typename T>
struct FftHalves {
  T* cells;  // n + 1 of them
  int64_t n;
  const T* factors;  // exp(-i pi k / n) for k up to n / 2
};

// The same in a row of memory, for vectors of results: `by_lane` are the factors of the first of them, and
// `by_group` what they are multiplied by for the next ones.
template <typename T>
struct FftRowHalves {
  const T* from;
  T* to;
  int64_t n;
  const T *by_lane, *by_group;
};

template <typename T>
struct FftEngine {
  int64_t lanes;
  void (*spread[2][kMostRadix + 1])(const FftPass<T>&);  // by how `from` lies; to cells
  void (*gather[2][kMostRadix + 1])(const FftPass<T>&);  // by how `to` lies; from cells
  void (*rows_in)(const FftBlock<T>&);
  void (*rows_out)(const FftBlock<T>&);
  void (*columns_in)(const FftBlock<T>&);
  void (*columns_out)(const FftBlock<T>&);
  void (*turn)(const FftTurn<T>&);
  void (*spectrum_of_halves)(const FftHalves<T>&);  // of complex ones becomes that of real ones
  void (*halves_of_spectrum)(const FftHalves<T>&);  // and back
  void (*row_spectrum_of_halves)(const FftRowHalves<T>&);
  void (*row_halves_of_spectrum)(const FftRowHalves<T>&);
};

// What this processor is best at.
template <typename T>
const FftEngine<T>& fft_engine();

}  // namespace anima::kernels
