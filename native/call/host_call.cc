// Kernels that programs call, run on the host: an operation whose program is such a call and nothing else has
// the same bits without the program.
//
// Invariant: a kernel finds what it finds in a program: its operands, results and attributes, and numbers
// that are subnormal taken for zeros. The one difference is that there is no pool of threads, on which no
// result depends.
#include <string>
#include <utility>

#include "call/host_kernel.h"
#include "kernels/kernel.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace anima {
namespace {

// As XLA sets the processor while a program runs.
class FlushedToZero {
 public:
#if defined(__SSE2__)
  static constexpr bool kKnown = true;
  FlushedToZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushedToZero() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  static constexpr bool kKnown = false;  // kernels refuse, and programs run
#endif
};

ffi::DataType type_in_calls(PJRT_Buffer_Type type, const HostOperation& operation) {
  for (int code = 1; code < 64; code++) {
    if (ffi::pjrt_type(static_cast<ffi::DataType>(code)) == type) return static_cast<ffi::DataType>(code);
  }
  refuse_operation(operation, "its element type has no number in calls");
}

// Buffers of a call, but for their memory.
struct Sides {
  Sides(const std::vector<AvalRef>& avals, const HostOperation& operation) : avals(avals) {
    for (const AvalRef& aval : avals) types.push_back(type_in_calls(aval->type, operation));
  }
  std::vector<AvalRef> avals;
  std::vector<ffi::DataType> types;
};

// The same for one call.
struct Filled {
  Filled(const Sides& sides, void* const* memory) : buffers(sides.avals.size()) {
    for (size_t i = 0; i < buffers.size(); i++) {
      const AvalInfo& aval = *sides.avals[i];
      auto rank = static_cast<int64_t>(aval.dims.size());
      // Kernels only read shapes.
      buffers[i] = {sizeof(ffi::Buffer), nullptr, sides.types[i],
                    memory[i],           rank,    const_cast<int64_t*>(aval.dims.data())};
      kinds.push_back(ffi::kBufferValue);
      items.push_back(&buffers[i]);
    }
  }
  ffi::Values values() {
    return {sizeof(ffi::Values), nullptr, static_cast<int64_t>(items.size()), kinds.data(), items.data()};
  }
  std::vector<ffi::Buffer> buffers;
  std::vector<int> kinds;
  std::vector<void*> items;
};

// What a kernel refuses, its program is to say.
ffi::Error* refused(ffi::ErrorCreateArgs*) {
  static char error;
  return reinterpret_cast<ffi::Error*>(&error);
}

// The scalar attributes of a call, as kernels read them. What points elsewhere points into the object itself.
class Scalars {
 public:
  // At most `count` are added.
  explicit Scalars(size_t count) : scalars_(count) {}
  Scalars(Scalars&&) = default;

  void add(std::string name, ffi::DataType type, int64_t value) {
    Scalar& scalar = scalars_[kinds_.size()];
    scalar.name = std::move(name);
    scalar.number = value;
    scalar.span = {scalar.name.data(), scalar.name.size()};
    scalar.value = {type, &scalar.number};
    kinds_.push_back(kScalar);
    names_.push_back(&scalar.span);
    values_.push_back(&scalar.value);
  }
  // Kernels only read them.
  ffi::Attributes attributes() const {
    return {sizeof(ffi::Attributes),
            nullptr,
            static_cast<int64_t>(kinds_.size()),
            const_cast<int*>(kinds_.data()),
            const_cast<ffi::ByteSpan**>(names_.data()),
            const_cast<void**>(values_.data())};
  }

 private:
  static constexpr int kScalar = 3;
  struct Scalar {
    std::string name;
    int64_t number;
    ffi::ByteSpan span;
    ffi::Scalar value;
  };
  std::vector<Scalar> scalars_;
  std::vector<int> kinds_;
  std::vector<ffi::ByteSpan*> names_;
  std::vector<void*> values_;
};

class CallingKernel final : public HostKernel {
 public:
  CallingKernel(const kernels::Kernel& kernel, const HostOperation& operation, Scalars scalars)
      : kernel_(kernel),
        operands_(operation.operands, operation),
        results_(operation.results, operation),
        scalars_(std::move(scalars)) {}

  bool run(const void* const* operands, void* const* results) const override {
    if (!FlushedToZero::kKnown) return false;
    Filled given(operands_, const_cast<void* const*>(operands)), made(results_, results);
    ffi::Api api{};
    api.struct_size = offsetof(ffi::Api, error_message);
    api.error_create = &refused;
    ffi::CallFrame frame{};
    frame.struct_size = sizeof(frame);
    frame.api = &api;
    frame.stage = ffi::Stage::kExecute;
    frame.args = given.values();
    frame.rets = made.values();
    frame.attrs = scalars_.attributes();
    FlushedToZero flushed;
    return kernel_.handler(&frame) == nullptr;
  }

 private:
  const kernels::Kernel& kernel_;
  const Sides operands_, results_;
  const Scalars scalars_;
};

std::string text_of(PyObject* item, const HostOperation& operation) {
  if (!PyUnicode_Check(item)) refuse_operation(operation, "a name in its details is no text");
  const char* text = PyUnicode_AsUTF8(item);
  if (text == nullptr) throw PythonError();
  return text;
}

}  // namespace

// `details` are the name of a kernel and its attributes, pairs of a name and an integer or a truth value.
HostKernelRef make_calling_kernel(const HostOperation& operation) {
  if (operation.name != "call") return nullptr;
  PyObject* details = operation.details;
  if (!PyTuple_Check(details) || PyTuple_GET_SIZE(details) != 2 ||
      !PyTuple_Check(PyTuple_GET_ITEM(details, 1)))
    refuse_operation(operation, "its details are no kernel and attributes");
  const kernels::Kernel* kernel = kernels::find_kernel(text_of(PyTuple_GET_ITEM(details, 0), operation));
  if (kernel == nullptr) refuse_operation(operation, "there is no kernel that it could call");
  PyObject* attributes = PyTuple_GET_ITEM(details, 1);
  Scalars scalars(static_cast<size_t>(PyTuple_GET_SIZE(attributes)));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(attributes); i++) {
    PyObject* pair = PyTuple_GET_ITEM(attributes, i);
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyLong_Check(PyTuple_GET_ITEM(pair, 1)))
      refuse_operation(operation, "an attribute is no pair of a name and a number");
    PyObject* value = PyTuple_GET_ITEM(pair, 1);
    int64_t number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred()) throw PythonError();
    scalars.add(text_of(PyTuple_GET_ITEM(pair, 0), operation),
                PyBool_Check(value) ? ffi::DataType::kPred : ffi::DataType::kS64, number);
  }
  return std::make_unique<CallingKernel>(*kernel, operation, std::move(scalars));
}

}  // namespace anima
