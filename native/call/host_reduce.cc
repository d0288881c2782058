// Reductions on the host, where the order of the elements does not matter: over neighbouring dimensions.
#include <cmath>
#include <type_traits>

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

// Sums and products of floating-point numbers: in the order of which lax/on_host_tiny.py tells.
constexpr size_t kWindow = 32;

template <class T>
class SummingKernel final : public HostKernel {
 public:
  SummingKernel(Extent extent, bool windows) : extent_(extent), windows_(windows) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* from = static_cast<const T*>(operands[0]);
    auto* to = static_cast<T*>(results[0]);
    // Zeros before and after make the number of windows whole.
    size_t before = (kWindow - extent_.count % kWindow) % kWindow / 2;
    typename Bits<T>::Unsigned found = 0;
    for (size_t o = 0; o < extent_.outer; o++, from += extent_.count * extent_.inner) {
      for (size_t i = 0; i < extent_.inner; i++, to++) {
        T all = 0, window = 0;
        for (size_t k = 0; k < extent_.count; k++) {
          T x = from[k * extent_.inner + i];
          window += x;
          found |= delicate<Care::kZeros>(x) | delicate<Care::kZeros>(window);
          if (k + 1 < extent_.count && !(windows_ && (k + 1 + before) % kWindow == 0)) continue;
          all += window;
          found |= delicate<Care::kZeros>(all);
          window = 0;
        }
        *to = all;
      }
    }
    return found == 0;
  }

 private:
  Extent extent_;
  bool windows_;
};

// Whether a product with such a number, or a sum of these, might be subnormal or infinite.
template <class T>
bool has_far(const T* numbers, size_t count) {
  constexpr auto far = static_cast<T>(std::is_same_v<T, float> ? 0x1p42 : 0x1p341);
  bool found = false;
  for (size_t i = 0; i < count; i++) {
    T x = std::fabs(numbers[i]);
    found |= !(x == 0 || (x > 1 / far && x < far));
  }
  return found;
}

// Products are summed in order. `rows` begin with zero if there are several, otherwise with the first
// product.
template <class T>
class ProductKernel final : public HostKernel {
 public:
  ProductKernel(size_t rows, size_t shared, size_t columns)
      : rows_(rows), shared_(shared), columns_(columns) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* a = static_cast<const T*>(operands[0]);
    auto* b = static_cast<const T*>(operands[1]);
    auto* to = static_cast<T*>(results[0]);
    if constexpr (Bits<T>::kFloat) {
      if (has_far(a, rows_ * shared_) || has_far(b, shared_ * columns_)) return false;
    }
    for (size_t i = 0; i < rows_; i++, a += shared_, to += columns_) {
      size_t first = rows_ == 1 ? 1 : 0;
      for (size_t j = 0; j < columns_; j++) to[j] = first == 1 ? multiply(a[0], b[j]) : T(0);
      for (size_t k = first; k < shared_; k++) {
        const T x = a[k];
        const T* y = b + k * columns_;
        for (size_t j = 0; j < columns_; j++) to[j] = add(to[j], multiply(x, y[j]));
      }
    }
    return true;
  }

 private:
  static T multiply(T x, T y) {
    if constexpr (Bits<T>::kFloat) {
      return x * y;
    } else {
      return Product::of(x, y);
    }
  }
  static T add(T x, T y) {
    if constexpr (Bits<T>::kFloat) {
      return x + y;
    } else {
      return Sum::of(x, y);
    }
  }

  size_t rows_, shared_, columns_;
};

template <class Op, class T>
HostKernelRef make_reduction(const HostOperation& operation) {
  Extent extent = extent_of(operation);
  if (operation.results[0]->type != operation.operands[0]->type)
    refuse_operation(operation, "its result is of another type");
  return std::make_unique<ReducingKernel<Op, T>>(extent);
}

template <class T>
HostKernelRef make_sum(const HostOperation& operation) {
  Extent extent = extent_of(operation);
  if (operation.results[0]->type != operation.operands[0]->type)
    refuse_operation(operation, "its result is of another type");
  PyObject *first = PyTuple_GET_ITEM(operation.details, 0), *last = PyTuple_GET_ITEM(operation.details, 1);
  bool one = PyLong_AsSize_t(first) == PyLong_AsSize_t(last);
  return std::make_unique<SummingKernel<T>>(extent, one && extent.count > kWindow);
}

template <class T>
HostKernelRef make_product(const HostOperation& operation) {
  expect_operands(operation, 2);
  const AvalInfo &a = *operation.operands[0], &b = *operation.operands[1], &result = *operation.results[0];
  if (a.dims.empty() || b.dims.empty() || a.dims.size() > 2 || b.dims.size() > 2 ||
      a.dims.back() != b.dims[0])
    refuse_operation(operation, "its operands are no matrices or vectors that can be multiplied");
  std::vector<int64_t> dims(a.dims.begin(), a.dims.end() - 1);
  dims.insert(dims.end(), b.dims.begin() + 1, b.dims.end());
  if (a.type != b.type || a.type != result.type || dims != result.dims || a.size == 0 || b.size == 0)
    refuse_operation(operation, "its result is another one, or empty");
  auto shared = static_cast<size_t>(b.dims[0]);
  size_t rows = static_cast<size_t>(a.size) / shared, columns = static_cast<size_t>(b.size) / shared;
  return std::make_unique<ProductKernel<T>>(rows, shared, columns);
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
  if constexpr (!std::is_same_v<T, bool>) {
    if (name == "dot") return make_product<T>(operation);
  }
  if constexpr (Bits<T>::kFloat) {
    if (name == "reduce_sum") return make_sum<T>(operation);
  } else {
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
