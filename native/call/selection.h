// What one of NumPy's indices selects of a dense array: integers, slices, ellipses, new axes, masks and
// arrays of integers, in any mixture.
//
// Invariant: every place that a selection names is an element of the array. An index that does not fit is not
// judged here: there is no selection then, and Python says what is wrong.
#pragma once

#include <Python.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "array/array.h"
#include "common/small_vector.h"

namespace anima {

// Whether no code of Python's can be behind the methods of an object. Such code could free what is being
// read.
inline bool is_of_c(PyObject* object) { return (Py_TYPE(object)->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0; }

// The memory of an array that can be read now, dense and row-major.
struct Dense {
  static constexpr size_t kMostDims = 6;
  PJRT_Buffer_Type type;
  size_t num_dims = 0, size = 1;
  int64_t dims[kMostDims];
  const void* data;
};

// The device of a call, and whether one of its arrays stays there.
struct Whereabouts {
  Device* device;
  bool committed;
};
// False unless `object` is an array of one shard on that device or one of NumPy's, and can be read as it is.
bool read_dense(PyObject* object, Whereabouts& where, Dense& out);

// What computed indices out of bounds mean: the nearest element, none, or that there is no selection.
enum class Outside { kNearest, kNone, kRefused };

class Selection {
 public:
  static constexpr int64_t kNowhere = std::numeric_limits<int64_t>::min();
  static constexpr size_t kMost = 4096;  // elements
  struct Dim {
    int64_t size, step;  // of the selection; elements of the array from one to the next
  };

  // False if there is none of this index, or one that is better made by a program.
  bool read(const std::vector<int64_t>& shape, PyObject* index, Outside outside, Whereabouts& where);
  const std::vector<int64_t>& dims() const { return dims_; }
  int64_t size() const { return size_; }
  // Whether the selection is the array as it is.
  bool is_all() const { return all_; }
  // fn(first, count, step) for each run of elements, in the order of the result; `first` is kNowhere for
  // those that are no elements of the array.
  template <class Fn>
  void for_each_run(Fn&& fn) const {
    const Dim last = after_.empty() ? Dim{1, 1} : after_.back();
    const Dim* end = after_.end() - (after_.empty() ? 0 : 1);
    int64_t inner = 1;
    for (const Dim& dim : after_) inner *= dim.size;
    auto run = [&](int64_t at) { fn(at, last.size, last.step); };
    auto at_places = [&](int64_t at) {
      for (int64_t place : places_) {
        place == kNowhere ? fn(kNowhere, inner, 0) : each(after_.begin(), end, at + place, run);
      }
    };
    each(before_.begin(), before_.end(), base_, at_places);
  }

 private:
  class Reader;
  template <class Fn>
  static void each(const Dim* dim, const Dim* end, int64_t at, Fn&& fn) {
    if (dim == end) return fn(at);
    for (int64_t i = 0; i < dim->size; i++) each(dim + 1, end, at + i * dim->step, fn);
  }

  int64_t base_ = 0, size_ = 1;
  bool all_ = true;
  SmallVector<Dim, 6> before_, after_;  // of the index arrays' dimensions
  SmallVector<int64_t, 64> places_;     // what the index arrays add to the place
  std::vector<int64_t> dims_;
};

}  // namespace anima
