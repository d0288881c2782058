// Elementwise operations on the host. Operands have the result's shape, or are scalars.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "call/host_arithmetic.h"

namespace anima {
namespace {

// ---- operations -----------------------------------------------------------------------------------------

struct Divide {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a, T b) {
    return a / b;
  }
};
struct Xor {
  static constexpr Care kCare = Care::kNone;
  template <class T>
  static T of(T a, T b) {
    return a ^ b;
  }
};

#define ANIMA_COMPARISON(Name, relation)          \
  struct Name {                                   \
    static constexpr Care kCare = Care::kNumbers; \
    template <class T>                            \
    static bool of(T a, T b) {                    \
      return a relation b;                        \
    }                                             \
  }
ANIMA_COMPARISON(Equal, ==);
ANIMA_COMPARISON(Unequal, !=);
ANIMA_COMPARISON(Less, <);
ANIMA_COMPARISON(LessOrEqual, <=);
ANIMA_COMPARISON(Greater, >);
ANIMA_COMPARISON(GreaterOrEqual, >=);
#undef ANIMA_COMPARISON

struct Negate {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a) {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(0 - static_cast<Wrapping<T>>(a));
    } else {
      return -a;
    }
  }
};
struct Absolute {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a) {
    if constexpr (std::is_unsigned_v<T>) {
      return a;
    } else if constexpr (std::is_integral_v<T>) {
      return a < 0 ? Negate::of(a) : a;
    } else {
      return std::fabs(a);
    }
  }
};
struct Square {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a) {
    return Multiply::of(a, a);
  }
};
struct Not {
  static constexpr Care kCare = Care::kNone;
  template <class T>
  static T of(T a) {
    if constexpr (std::is_same_v<T, bool>) {
      return !a;
    } else {
      return static_cast<T>(~a);
    }
  }
};

// The C library's, which XLA's unoptimised code calls, too.
struct Sine {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a) {
    return std::sin(a);
  }
};
struct Cosine {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a) {
    return std::cos(a);
  }
};
struct Root {
  static constexpr Care kCare = Care::kNumbers;
  template <class T>
  static T of(T a) {
    return std::sqrt(a);
  }
};

// ---- kernels --------------------------------------------------------------------------------------------

template <class Op, class T>
class UnaryKernel final : public HostKernel {
 public:
  explicit UnaryKernel(size_t size) : size_(size) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* a = static_cast<const T*>(operands[0]);
    auto* to = static_cast<T*>(results[0]);
    decltype(delicate<Op::kCare>(T())) found = 0;
    for (size_t i = 0; i < size_; i++) {
      T result = Op::of(a[i]);
      found |= delicate<Op::kCare>(a[i]) | delicate<Op::kCare>(result);
      to[i] = result;
    }
    return found == 0;
  }

 private:
  size_t size_;
};

template <class Op, class T>
class BinaryKernel final : public HostKernel {
 public:
  BinaryKernel(size_t size, bool first_scalar, bool second_scalar)
      : size_(size), first_scalar_(first_scalar), second_scalar_(second_scalar) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* a = static_cast<const T*>(operands[0]);
    auto* b = static_cast<const T*>(operands[1]);
    auto* to = static_cast<Result*>(results[0]);
    if (first_scalar_ && second_scalar_) return compute<0, 0>(a, b, to);
    if (first_scalar_) return compute<0, 1>(a, b, to);
    if (second_scalar_) return compute<1, 0>(a, b, to);
    return compute<1, 1>(a, b, to);
  }

 private:
  using Result = decltype(Op::of(T(), T()));
  template <size_t step_a, size_t step_b>
  bool compute(const T* a, const T* b, Result* to) const {
    decltype(delicate<Op::kCare>(T())) found = 0;
    for (size_t i = 0; i < size_; i++) {
      T x = a[i * step_a], y = b[i * step_b];
      Result result = Op::of(x, y);
      found |= delicate<Op::kCare>(x) | delicate<Op::kCare>(y);
      if constexpr (std::is_same_v<Result, T>) found |= delicate<Op::kCare>(result);
      to[i] = result;
    }
    return found == 0;
  }

  size_t size_;
  bool first_scalar_, second_scalar_;
};

// min(max(low, x), high)
template <class T>
class ClampKernel final : public HostKernel {
 public:
  ClampKernel(size_t size, bool low_scalar, bool high_scalar)
      : size_(size), low_step_(low_scalar ? 0 : 1), high_step_(high_scalar ? 0 : 1) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* low = static_cast<const T*>(operands[0]);
    auto* x = static_cast<const T*>(operands[1]);
    auto* high = static_cast<const T*>(operands[2]);
    auto* to = static_cast<T*>(results[0]);
    decltype(delicate<Care::kZeros>(T())) found = 0;
    for (size_t i = 0; i < size_; i++) {
      T least = low[i * low_step_], most = high[i * high_step_];
      found |= delicate<Care::kZeros>(x[i]) | delicate<Care::kZeros>(least) | delicate<Care::kZeros>(most);
      found |= least > most;
      to[i] = Minimum::of(Maximum::of(least, x[i]), most);
    }
    return found == 0;
  }

 private:
  size_t size_, low_step_, high_step_;
};

// Between numbers of any two types. What C++ leaves open, floats beyond the range of whole numbers, is
// refused.
template <class From, class To>
class ConvertingKernel final : public HostKernel {
 public:
  explicit ConvertingKernel(size_t size) : size_(size) {}
  bool run(const void* const* operands, void* const* results) const override {
    auto* from = static_cast<const From*>(operands[0]);
    auto* to = static_cast<To*>(results[0]);
    bool found = false;
    for (size_t i = 0; i < size_; i++) {
      if (delicate<Care::kNumbers>(from[i]) || !fits(from[i])) return false;
      to[i] = static_cast<To>(from[i]);
      found |= delicate<Care::kNumbers>(to[i]) != 0;
    }
    return !found;
  }

 private:
  static bool fits(From value) {
    if constexpr (!Bits<From>::kFloat || Bits<To>::kFloat || std::is_same_v<To, bool>) {
      return true;
    } else {
      constexpr int64_t kFar = 1 << 24;
      constexpr auto least = static_cast<int64_t>(std::numeric_limits<To>::min());
      constexpr auto most = static_cast<uint64_t>(std::numeric_limits<To>::max());
      constexpr auto low = static_cast<From>(std::max(least, -kFar));
      constexpr auto high = static_cast<From>(std::min(most, static_cast<uint64_t>(kFar)));
      return value > low && value < high;
    }
  }

  size_t size_;
};

// ---- choosing one ---------------------------------------------------------------------------------------

// Whether an operand is a scalar; throws if its shape is another one than the result's, too.
bool is_scalar(const HostOperation& operation, size_t operand) {
  const AvalInfo& given = *operation.operands[operand];
  if (given.type != operation.operands[0]->type) refuse_operation(operation, "its operands differ in type");
  if (given.dims.empty()) return true;
  if (given.dims != operation.results[0]->dims)
    refuse_operation(operation, "an operand's shape is neither the result's nor that of a scalar");
  return false;
}

template <class Result>
void expect_result(const HostOperation& operation) {
  PJRT_Buffer_Type wanted =
      std::is_same_v<Result, bool> ? PJRT_Buffer_Type_PRED : operation.operands[0]->type;
  if (operation.results[0]->type != wanted) refuse_operation(operation, "its result is of another type");
}

size_t size_of_result(const HostOperation& operation) {
  return static_cast<size_t>(operation.results[0]->size);
}

template <class Op, class T>
HostKernelRef make_unary(const HostOperation& operation) {
  expect_operands(operation, 1);
  expect_result<T>(operation);
  if (is_scalar(operation, 0) != operation.results[0]->dims.empty())
    refuse_operation(operation, "its result is of another shape");
  return std::make_unique<UnaryKernel<Op, T>>(size_of_result(operation));
}

template <class Op, class T>
HostKernelRef make_binary(const HostOperation& operation) {
  expect_operands(operation, 2);
  expect_result<decltype(Op::of(T(), T()))>(operation);
  bool first = is_scalar(operation, 0), second = is_scalar(operation, 1);
  return std::make_unique<BinaryKernel<Op, T>>(size_of_result(operation), first, second);
}

template <class T>
HostKernelRef make_clamp(const HostOperation& operation) {
  expect_operands(operation, 3);
  expect_result<T>(operation);
  bool low = is_scalar(operation, 0), high = is_scalar(operation, 2);
  if (is_scalar(operation, 1) != operation.results[0]->dims.empty())
    refuse_operation(operation, "its result is of another shape");
  return std::make_unique<ClampKernel<T>>(size_of_result(operation), low, high);
}

template <class From>
HostKernelRef make_conversion(const HostOperation& operation) {
  expect_operands(operation, 1);
  if (operation.operands[0]->dims != operation.results[0]->dims)
    refuse_operation(operation, "its result is of another shape");
  return for_number_type(operation.results[0]->type, [&](auto zero) -> HostKernelRef {
    return std::make_unique<ConvertingKernel<From, decltype(zero)>>(size_of_result(operation));
  });
}

template <class T>
HostKernelRef make_any(const HostOperation& operation) {
  std::string_view name = operation.name;
  if (name == "eq") return make_binary<Equal, T>(operation);
  if (name == "ne") return make_binary<Unequal, T>(operation);
  if (name == "lt") return make_binary<Less, T>(operation);
  if (name == "le") return make_binary<LessOrEqual, T>(operation);
  if (name == "gt") return make_binary<Greater, T>(operation);
  if (name == "ge") return make_binary<GreaterOrEqual, T>(operation);
  if (name == "max") return make_binary<Maximum, T>(operation);
  if (name == "min") return make_binary<Minimum, T>(operation);
  if (name == "clamp") return make_clamp<T>(operation);
  if (name == "convert") return make_conversion<T>(operation);
  if constexpr (!Bits<T>::kFloat) {
    if (name == "and") return make_binary<And, T>(operation);
    if (name == "or") return make_binary<Or, T>(operation);
    if (name == "xor") return make_binary<Xor, T>(operation);
    if (name == "not") return make_unary<Not, T>(operation);
  }
  if constexpr (!std::is_same_v<T, bool>) {
    if (name == "add") return make_binary<Add, T>(operation);
    if (name == "sub") return make_binary<Subtract, T>(operation);
    if (name == "mul") return make_binary<Multiply, T>(operation);
    if (name == "neg") return make_unary<Negate, T>(operation);
    if (name == "abs") return make_unary<Absolute, T>(operation);
    if (name == "square") return make_unary<Square, T>(operation);
  }
  if constexpr (Bits<T>::kFloat) {
    if (name == "div") return make_binary<Divide, T>(operation);
    if (name == "sin") return make_unary<Sine, T>(operation);
    if (name == "cos") return make_unary<Cosine, T>(operation);
    if (name == "sqrt") return make_unary<Root, T>(operation);
  }
  return nullptr;
}

}  // namespace

HostKernelRef make_elementwise_kernel(const HostOperation& operation) {
  if (operation.operands.empty()) return nullptr;
  return for_number_type(operation.operands[0]->type,
                         [&](auto zero) { return make_any<decltype(zero)>(operation); });
}

}  // namespace anima
