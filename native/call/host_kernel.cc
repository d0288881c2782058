#include "call/host_kernel.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace anima {
namespace {

// `details` of a kernel that moves: for each piece the operand, where it begins there, the result, where it
// goes there, and how many elements it has.
struct Piece {
  size_t operand, from, result, to, count;
};

class MovingKernel final : public HostKernel {
 public:
  MovingKernel(std::vector<Piece> pieces, size_t itemsize) : pieces_(std::move(pieces)) {
    for (Piece& piece : pieces_) {
      piece.from *= itemsize;
      piece.to *= itemsize;
      piece.count *= itemsize;
    }
  }
  bool run(const void* const* operands, void* const* results) const override {
    for (const Piece& piece : pieces_) {
      char* to = static_cast<char*>(results[piece.result]) + piece.to;
      const char* from = static_cast<const char*>(operands[piece.operand]) + piece.from;
      // The sizes of single elements, as constants, save the call.
      if (piece.count == 4) {
        std::memcpy(to, from, 4);
      } else if (piece.count == 8) {
        std::memcpy(to, from, 8);
      } else {
        std::memcpy(to, from, piece.count);
      }
    }
    return true;
  }

 private:
  std::vector<Piece> pieces_;  // in bytes
};

// Each element so many times, one after the other: `details` are the number.
template <class T>
class RepeatingKernel final : public HostKernel {
 public:
  RepeatingKernel(size_t size, size_t count) : size_(size), count_(count) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* from = static_cast<const T*>(operands[0]);
    auto* to = static_cast<T*>(results[0]);
    for (size_t i = 0; i < size_; i++, to += count_) std::fill_n(to, count_, from[i]);
    return true;
  }

 private:
  size_t size_, count_;
};

size_t number_below(PyObject* item, size_t limit, const HostOperation& operation) {
  size_t number = PyLong_AsSize_t(item);
  if (number == static_cast<size_t>(-1) && PyErr_Occurred()) throw PythonError();
  if (number >= limit) refuse_operation(operation, "a piece lies outside of its array");
  return number;
}

size_t size_of(const AvalRef& aval) { return static_cast<size_t>(aval->size); }

Piece read_piece(PyObject* item, const HostOperation& operation) {
  if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 5)
    refuse_operation(operation, "a piece must be a tuple of five integers");
  auto read = [&](Py_ssize_t i, size_t limit) {
    return number_below(PyTuple_GET_ITEM(item, i), limit, operation);
  };
  Piece piece;
  piece.operand = read(0, operation.operands.size());
  piece.from = read(1, size_of(operation.operands[piece.operand]));
  piece.result = read(2, operation.results.size());
  piece.to = read(3, size_of(operation.results[piece.result]));
  size_t room = std::min(size_of(operation.operands[piece.operand]) - piece.from,
                         size_of(operation.results[piece.result]) - piece.to);
  piece.count = read(4, room + 1);
  return piece;
}

// Throws unless every element of every result is written.
void check_covered(const std::vector<Piece>& pieces, const HostOperation& operation) {
  std::vector<std::vector<char>> written;
  for (const AvalRef& result : operation.results) written.emplace_back(size_of(result));
  for (const Piece& piece : pieces)
    std::fill_n(written[piece.result].begin() + static_cast<ptrdiff_t>(piece.to), piece.count, 1);
  for (const std::vector<char>& result : written) {
    if (std::find(result.begin(), result.end(), 0) != result.end())
      refuse_operation(operation, "the pieces do not fill the results");
  }
}

// results[i] = which[i] ? operands[2][i] : operands[1][i]
template <class T>
class SelectingKernel final : public HostKernel {
 public:
  SelectingKernel(size_t size, bool scalar) : size_(size), step_(scalar ? 0 : 1) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* which = static_cast<const uint8_t*>(operands[0]);
    auto* zero = static_cast<const T*>(operands[1]);
    auto* one = static_cast<const T*>(operands[2]);
    auto* to = static_cast<T*>(results[0]);
    if (step_ == 0) {
      std::memcpy(to, *which != 0 ? one : zero, size_ * sizeof(T));
      return true;
    }
    for (size_t i = 0; i < size_; i++) to[i] = which[i] != 0 ? one[i] : zero[i];
    return true;
  }

 private:
  size_t size_, step_;
};

// A part of an array that begins where the further operands say, moved inside.
class SlicingKernel final : public HostKernel {
 public:
  struct Dim {
    size_t size, step;      // of the part; bytes of the array from one element to the next
    int64_t last;           // the greatest index where the part may begin
    PJRT_Buffer_Type type;  // of the index
  };
  SlicingKernel(std::vector<Dim> dims, size_t itemsize) : dims_(std::move(dims)), itemsize_(itemsize) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* from = static_cast<const char*>(operands[0]);
    for (size_t d = 0; d < dims_.size(); d++) from += start(dims_[d], operands[d + 1]) * dims_[d].step;
    auto* to = static_cast<char*>(results[0]);
    copy(0, from, to);
    return true;
  }

 private:
  static size_t start(const Dim& dim, const void* operand) {
    int64_t index = 0;
    auto read = [&](auto number) {
      std::memcpy(&number, operand, sizeof(number));
      index = static_cast<int64_t>(number);
      if constexpr (std::is_unsigned_v<decltype(number)>) {
        if (index < 0) index = dim.last;  // above all signed ones
      }
      return HostKernelRef();
    };
    for_number_type(dim.type, read);
    return static_cast<size_t>(std::clamp<int64_t>(index, 0, dim.last));
  }
  void copy(size_t d, const char* from, char*& to) const {
    if (d + 1 >= dims_.size()) {
      size_t bytes = dims_.empty() ? itemsize_ : dims_[d].size * itemsize_;
      std::memcpy(to, from, bytes);
      to += bytes;
      return;
    }
    for (size_t i = 0; i < dims_[d].size; i++) copy(d + 1, from + i * dims_[d].step, to);
  }

  std::vector<Dim> dims_;
  size_t itemsize_;
};

HostKernelRef make_slicing_kernel(const HostOperation& operation) {
  if (operation.operands.empty()) refuse_operation(operation, "it has no operands");
  const AvalInfo &given = *operation.operands[0], &result = *operation.results[0];
  expect_operands(operation, given.dims.size() + 1);
  if (given.type != result.type || given.dims.size() != result.dims.size())
    refuse_operation(operation, "its result is no part of its first operand");
  size_t itemsize = bits_of(given.type) / 8, step = itemsize;
  std::vector<SlicingKernel::Dim> dims(given.dims.size());
  for (size_t d = dims.size(); d-- > 0; step *= static_cast<size_t>(given.dims[d])) {
    const AvalInfo& index = *operation.operands[d + 1];
    if (!index.dims.empty() || !is_integer(index.type))
      refuse_operation(operation, "a place where the part begins is no whole number");
    if (result.dims[d] > given.dims[d])
      refuse_operation(operation, "its result is no part of its first operand");
    dims[d] = {static_cast<size_t>(result.dims[d]), step, given.dims[d] - result.dims[d], index.type};
  }
  return std::make_unique<SlicingKernel>(std::move(dims), itemsize);
}

HostKernelRef make_selecting_kernel(const HostOperation& operation) {
  expect_operands(operation, 3);
  const AvalRef &which = operation.operands[0], &result = operation.results[0];
  bool scalar = which->dims.empty();
  if (which->type != PJRT_Buffer_Type_PRED || (!scalar && which->dims != result->dims))
    refuse_operation(operation, "the first operand must say for each element, or for all, which one it is");
  for (size_t i = 1; i < 3; i++) {
    if (operation.operands[i]->type != result->type || operation.operands[i]->dims != result->dims)
      refuse_operation(operation, "the cases must have the result's shape and type");
  }
  size_t size = size_of(result);
  return for_width_of(result->type, [&](auto zero) {
    return HostKernelRef(std::make_unique<SelectingKernel<decltype(zero)>>(size, scalar));
  });
}

HostKernelRef make_repeating_kernel(const HostOperation& operation) {
  expect_operands(operation, 1);
  const AvalRef &given = operation.operands[0], &result = operation.results[0];
  size_t size = size_of(given), count = number_below(operation.details, size_of(result) + 1, operation);
  if (given->type != result->type || size * count != size_of(result))
    refuse_operation(operation, "its result does not hold each element so many times");
  return for_width_of(result->type, [&](auto zero) {
    return HostKernelRef(std::make_unique<RepeatingKernel<decltype(zero)>>(size, count));
  });
}

}  // namespace

void refuse_operation(const HostOperation& operation, const char* why) {
  throw std::invalid_argument("CallPlan: `host` names the operation " + std::string(operation.name) +
                              ", but " + why);
}

void expect_operands(const HostOperation& operation, size_t count) {
  if (operation.operands.size() == count && operation.results.size() == 1) return;
  refuse_operation(operation, "that has another number of operands or results");
}

HostKernelRef make_moving_kernel(const HostOperation& operation) {
  if (operation.name == "select_n") return make_selecting_kernel(operation);
  if (operation.name == "dynamic_slice") return make_slicing_kernel(operation);
  if (operation.name != "move") return nullptr;
  if (PyLong_Check(operation.details)) return make_repeating_kernel(operation);
  if (!PyList_Check(operation.details)) refuse_operation(operation, "its details are not a list of pieces");
  PJRT_Buffer_Type type = operation.results[0]->type;
  auto of_type = [type](const AvalRef& aval) { return aval->type == type; };
  if (!std::all_of(operation.operands.begin(), operation.operands.end(), of_type) ||
      !std::all_of(operation.results.begin(), operation.results.end(), of_type))
    refuse_operation(operation, "its operands and results differ in type");
  std::vector<Piece> pieces;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(operation.details); i++)
    pieces.push_back(read_piece(PyList_GET_ITEM(operation.details, i), operation));
  check_covered(pieces, operation);
  return std::make_unique<MovingKernel>(std::move(pieces), bits_of(type) / 8);
}

HostKernelRef make_host_kernel(const HostOperation& operation) {
  if (operation.results.empty()) refuse_operation(operation, "it has no results");
  if (HostKernelRef kernel = make_moving_kernel(operation)) return kernel;
  if (HostKernelRef kernel = make_elementwise_kernel(operation)) return kernel;
  if (HostKernelRef kernel = make_reducing_kernel(operation)) return kernel;
  if (HostKernelRef kernel = make_calling_kernel(operation)) return kernel;
  refuse_operation(operation, "there is no kernel of this name");
}

}  // namespace anima
