// LAPACK and BLAS, whose functions SciPy hands out as C pointers.
//
// Invariant: a `Function` knows the name and the C signature of what it stands for, and is bound only to a
// pointer whose capsule states that signature. It is callable once `runtime/lapack.py` has bound it, which
// happens before a program that calls it is compiled; called unbound, it throws `KernelError`.
//
// A file of kernels declares what it calls as variable templates over the element type:
//
//   template <typename T>
//   const Function<void(char*, int*, T*, int*, int*)> potrf{routine<T>("potrf")};
//
// and calls `potrf<T>('U', n, a, n, &info)`: a value stands for a pointer to it.
#pragma once

#include <atomic>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

namespace anima::linalg {

template <typename T>
struct Element;
template <>
struct Element<float> {
  using Real = float;
  static constexpr char letter = 's';
};
template <>
struct Element<double> {
  using Real = double;
  static constexpr char letter = 'd';
};
template <>
struct Element<std::complex<float>> {
  using Real = float;
  static constexpr char letter = 'c';
};
template <>
struct Element<std::complex<double>> {
  using Real = double;
  static constexpr char letter = 'z';
};

template <typename T>
using RealOf = typename Element<T>::Real;
template <typename T>
constexpr bool kComplex = !std::is_same_v<T, RealOf<T>>;

// The routine of this name for an element type: `routine<double>("potrf")` is "dpotrf".
template <typename T>
std::string routine(const char* name) {
  return std::string(1, Element<T>::letter) + name;
}
// One that has another name for complex elements: `routine<T>("orgqr", "ungqr")`.
template <typename T>
std::string routine(const char* real, const char* complex) {
  return routine<T>(kComplex<T> ? complex : real);
}

// The types of signatures, as texts: element types by their letters, `void*` for a function that selects.
template <typename T>
struct TypeText;
template <>
struct TypeText<void> {
  static std::string text() { return "void"; }
};
template <>
struct TypeText<char*> {
  static std::string text() { return "char*"; }
};
template <>
struct TypeText<int*> {
  static std::string text() { return "int*"; }
};
template <>
struct TypeText<void*> {
  static std::string text() { return "select*"; }
};
template <typename T>
struct TypeText<T*> {
  static std::string text() { return {Element<T>::letter, '*'}; }
};

// What all functions have in common; they form a list.
class AnyFunction {
 public:
  AnyFunction(const AnyFunction&) = delete;
  AnyFunction& operator=(const AnyFunction&) = delete;

  const std::string& name() const { return name_; }
  const AnyFunction* next() const { return next_; }
  static const AnyFunction* first();

  // Binds every function of this name. Throws `std::invalid_argument` if `signature`, C's as Cython writes
  // it, is not theirs, or there is no such function.
  static void bind(const std::string& name, const std::string& signature, void* pointer);

 protected:
  AnyFunction(std::string name, std::string signature);

  void* pointer() const {
    void* found = pointer_.load(std::memory_order_acquire);
    if (found == nullptr) throw_unbound();
    return found;
  }

 private:
  [[noreturn]] void throw_unbound() const;

  const std::string name_, signature_;
  mutable std::atomic<void*> pointer_{nullptr};
  const AnyFunction* next_;
};

template <typename F>
class Function;

template <typename... Pointers>
class Function<void(Pointers...)> : public AnyFunction {
  // A pointer, or a value to point at.
  template <typename P>
  class Argument {
    using Value =
        std::conditional_t<std::is_void_v<std::remove_pointer_t<P>>, char, std::remove_pointer_t<P>>;

   public:
    Argument(P pointer) : pointer_(pointer) {}
    Argument(const std::remove_pointer_t<P>* pointer) : pointer_(const_cast<P>(pointer)) {}
    Argument(std::nullptr_t) : pointer_(nullptr) {}
    template <typename V, std::enable_if_t<std::is_same_v<V, Value>, int> = 0>
    Argument(V value) : value_(value), pointer_(&value_) {}
    Argument(const Argument&) = delete;

    P pointer() const { return pointer_; }

   private:
    Value value_{};
    P pointer_;
  };

 public:
  explicit Function(std::string name) : AnyFunction(std::move(name), signature()) {}

  void operator()(Argument<Pointers>... arguments) const {
    reinterpret_cast<void (*)(Pointers...)>(pointer())(arguments.pointer()...);
  }

 private:
  static std::string signature() {
    std::string text = "void(";
    ((text += TypeText<Pointers>::text() + ","), ...);
    text.back() = ')';
    return text;
  }
};

}  // namespace anima::linalg
