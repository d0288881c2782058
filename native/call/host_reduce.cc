// Reductions on the host, where the order of the elements does not matter: over neighbouring dimensions.
#include "call/host_kernel.h"

namespace anima {
namespace {

// An array as [outer, count, inner], of which the middle is reduced.
struct Extent {
  size_t outer, count, inner;
};

Extent extent_of(const HostOperation& operation) {
  expect_operands(operation, 1);
  const std::vector<int64_t>& dims = operation.operands[0]->dims;
  PyObject* details = operation.details;
  if (!PyTuple_Check(details) || PyTuple_GET_SIZE(details) != 2)
    refuse_operation(operation, "its details are not the first and the last dimension to reduce");
  size_t bounds[2];
  for (Py_ssize_t i = 0; i < 2; i++) {
    bounds[i] = PyLong_AsSize_t(PyTuple_GET_ITEM(details, i));
    if (bounds[i] == static_cast<size_t>(-1) && PyErr_Occurred()) throw PythonError();
  }
  if (bounds[0] > bounds[1] || bounds[1] >= dims.size())
    refuse_operation(operation, "it has no such dimensions");
  Extent extent{1, 1, 1};
  std::vector<int64_t> left;
  for (size_t d = 0; d < dims.size(); d++) {
    size_t& part = d < bounds[0] ? extent.outer : d > bounds[1] ? extent.inner : extent.count;
    part *= static_cast<size_t>(dims[d]);
    if (d < bounds[0] || d > bounds[1]) left.push_back(dims[d]);
  }
  if (left != operation.results[0]->dims) refuse_operation(operation, "its result is of another shape");
  if (extent.count == 0) refuse_operation(operation, "there is nothing to reduce");
  return extent;
}

struct Sum {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
};
struct Product {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};
struct Greatest {
  template <class T>
  static T of(T a, T b) {
    return a > b ? a : b;
  }
};
struct Smallest {
  template <class T>
  static T of(T a, T b) {
    return a < b ? a : b;
  }
};
struct All {
  template <class T>
  static T of(T a, T b) {
    return a & b;
  }
};
struct Any {
  template <class T>
  static T of(T a, T b) {
    return a | b;
  }
};
struct Parity {
  template <class T>
  static T of(T a, T b) {
    return a ^ b;
  }
};

template <class Op, class T>
class ReducingKernel final : public HostKernel {
 public:
  explicit ReducingKernel(Extent extent) : extent_(extent) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* from = static_cast<const T*>(operands[0]);
    auto* to = static_cast<T*>(results[0]);
    decltype(delicate<Care::kZeros>(T())) found = 0;
    for (size_t o = 0; o < extent_.outer; o++, from += extent_.count * extent_.inner) {
      for (size_t i = 0; i < extent_.inner; i++, to++) {
        T value = from[i];
        for (size_t k = 0; k < extent_.count; k++) {
          T x = from[k * extent_.inner + i];
          found |= delicate<Care::kZeros>(x);
          if (k > 0) value = Op::of(value, x);
        }
        *to = value;
      }
    }
    return found == 0;
  }

 private:
  Extent extent_;
};

// The index of the best element, of equal ones the first.
template <class T, class Index, bool greatest>
class PlacingKernel final : public HostKernel {
 public:
  explicit PlacingKernel(Extent extent) : extent_(extent) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* from = static_cast<const T*>(operands[0]);
    auto* to = static_cast<Index*>(results[0]);
    decltype(delicate<Care::kNumbers>(T())) found = 0;
    for (size_t o = 0; o < extent_.outer; o++, from += extent_.count * extent_.inner) {
      for (size_t i = 0; i < extent_.inner; i++, to++) {
        T best = from[i];
        size_t place = 0;
        for (size_t k = 0; k < extent_.count; k++) {
          T x = from[k * extent_.inner + i];
          found |= delicate<Care::kNumbers>(x);
          if (greatest ? x > best : x < best) best = x, place = k;
        }
        *to = static_cast<Index>(place);
      }
    }
    return found == 0;
  }

 private:
  Extent extent_;
};

template <class Op, class T>
HostKernelRef make_reduction(const HostOperation& operation) {
  Extent extent = extent_of(operation);
  if (operation.results[0]->type != operation.operands[0]->type)
    refuse_operation(operation, "its result is of another type");
  return std::make_unique<ReducingKernel<Op, T>>(extent);
}

template <class T, bool greatest>
HostKernelRef make_place(const HostOperation& operation) {
  Extent extent = extent_of(operation);
  switch (bits_of(operation.results[0]->type)) {
    case 8:
      return std::make_unique<PlacingKernel<T, uint8_t, greatest>>(extent);
    case 16:
      return std::make_unique<PlacingKernel<T, uint16_t, greatest>>(extent);
    case 32:
      return std::make_unique<PlacingKernel<T, uint32_t, greatest>>(extent);
    case 64:
      return std::make_unique<PlacingKernel<T, uint64_t, greatest>>(extent);
    default:
      refuse_operation(operation, "it gives indices of whole bytes");
  }
}

template <class T>
HostKernelRef make_any(const HostOperation& operation) {
  std::string_view name = operation.name;
  if (name == "argmax") return make_place<T, true>(operation);
  if (name == "argmin") return make_place<T, false>(operation);
  if (name == "reduce_max") return make_reduction<Greatest, T>(operation);
  if (name == "reduce_min") return make_reduction<Smallest, T>(operation);
  if constexpr (!Bits<T>::kFloat) {
    if (name == "reduce_and") return make_reduction<All, T>(operation);
    if (name == "reduce_or") return make_reduction<Any, T>(operation);
    if (name == "reduce_xor") return make_reduction<Parity, T>(operation);
    if constexpr (!std::is_same_v<T, bool>) {
      if (name == "reduce_sum") return make_reduction<Sum, T>(operation);
      if (name == "reduce_prod") return make_reduction<Product, T>(operation);
    }
  }
  return nullptr;
}

}  // namespace

HostKernelRef make_reducing_kernel(const HostOperation& operation) {
  if (operation.operands.empty()) return nullptr;
  return for_number_type(operation.operands[0]->type,
                         [&](auto zero) { return make_any<decltype(zero)>(operation); });
}

}  // namespace anima
