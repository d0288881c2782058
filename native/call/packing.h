// Small arrays that go into a program, and come out of it, in a few pieces of memory.
//
// Invariant: a packing is checked when it is made: every array has one place, places of a piece follow each
// other without gaps, and a piece is small enough to be Contents. Calls check that a leaf is of its place's
// size.
#pragma once

#include <Python.h>

#include <memory>
#include <vector>

#include "array/aval.h"
#include "common/py.h"
#include "common/small_vector.h"
#include "pjrt/client.h"
#include "pjrt/contents.h"

namespace anima {

class Packing {
 public:
  // Reads (arguments, argument_pieces, result_pieces): the (shape, dtype, weak_type) of each argument and,
  // for arguments and results, the numbers of those that make a piece. Throws if that is no packing.
  Packing(PyObject* description, size_t num_arguments, const std::vector<AvalRef>& results);
  size_t num_argument_pieces() const { return arguments_.pieces.size(); }
  size_t num_result_pieces() const { return results_.pieces.size(); }

  // The pieces of these arguments, leaves[kept[i]]; false, with nothing done, if one is not at hand.
  bool pack(const PyRef* leaves, const std::vector<size_t>& kept, Device* device,
            SmallVector<BufferRef, 4>& pieces) const;
  // Throws std::invalid_argument unless the program's results are the pieces.
  void check_results(const BufferRef* pieces) const;
  // The results; waits for them.
  void unpack(const BufferRef* pieces, Device* device, BufferRef* results) const;

 private:
  struct Piece {
    PJRT_Buffer_Type type;      // that keeps the bits of its arrays
    std::vector<int64_t> dims;  // one
  };
  struct Place {
    size_t piece, offset;
    AvalRef aval;
  };
  struct Side {
    std::vector<Piece> pieces;
    std::vector<Place> places;  // of each array
  };
  static Side read_side(PyObject* pieces, const std::vector<AvalRef>& avals);

  Side arguments_, results_;
};
using PackingRef = std::unique_ptr<const Packing>;

}  // namespace anima
