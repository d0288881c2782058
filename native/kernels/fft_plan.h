// What transforms of a length are done by: their radices, and the roots of unity that they multiply by.
//
// Invariant: a plan never changes, so threads share it; only the latest plans are kept. Roots are computed in
// double precision from angles of at most 45 degrees, and rounded once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace anima::kernels {

// Whether `n` is a product of 2, 3, 5 and 7, and not too long.
bool has_fft_plan(int64_t n);

// A transform of cells, forwards or back (not divided by the length).
template <typename T>
struct LanePlan {
  int64_t n;
  std::vector<int> radices;
  std::vector<std::vector<T>> factors;  // of each radix but the last
  std::vector<int32_t> order;
};
template <typename T>
std::shared_ptr<const LanePlan<T>> lane_plan(int64_t n, bool back);

// A transform of a row of n = columns * rows elements: of its columns, as a matrix of so many rows, and then
// of its rows; in between elements are multiplied by roots, which are products of two factors.
template <typename T>
struct RowPlan {
  std::shared_ptr<const LanePlan<T>> columns, rows;  // of the length of a column, and of a row
  int64_t groups;                                    // of lanes in a row
  std::vector<T> by_lane, by_group;                  // as `FftTurn` has them
};
template <typename T>
std::shared_ptr<const RowPlan<T>> row_plan(int64_t n, bool back);

// Factors for 2 n real numbers that are taken as n complex ones, as `FftHalves` and `FftRowHalves` have them.
template <typename T>
struct HalvesPlan {
  std::vector<T> factors;
};
template <typename T>
std::shared_ptr<const HalvesPlan<T>> halves_plan(int64_t n);
template <typename T>
struct RowHalvesPlan {
  std::vector<T> by_lane, by_group;
};
template <typename T>
std::shared_ptr<const RowHalvesPlan<T>> row_halves_plan(int64_t n);

}  // namespace anima::kernels
