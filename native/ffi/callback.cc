// The custom call "anima_python_callback": XLA calls a Python function.
//
// Invariant: the first operand is one u32 or u64, the number under which Python registered the function,
// so no program text names a function, a pointer or a process. The function sees copies of the operands,
// never XLA's memory, so it may keep them. All state here is guarded by the GIL, which is held while the
// function runs, not while anything is copied.
#include "ffi/callback.h"

#include <deque>
#include <unordered_map>

#include "array/aval.h"
#include "array/memory.h"
#include "common/py.h"
#include "ffi/handler.h"
#include "ffi/transfer.h"

namespace anima::ffi {
namespace {

constexpr size_t kKeptErrors = 16;  // each keeps the frames of its traceback alive

struct Failure {
  std::string text;
  PyRef error;
};

struct State {
  uint64_t next_id = 1;
  std::unordered_map<uint64_t, PyRef> functions;
  std::deque<Failure> failures;  // the newest last
};
State& state() {
  static auto* instance = new State;  // destroyed by nobody: at exit there is no GIL to do so with
  return *instance;
}

[[noreturn]] void refuse(const std::string& message) {
  throw PjrtError(PJRT_Error_Code_INVALID_ARGUMENT, message);
}

std::vector<int64_t> dims_of(const Buffer& buffer) {
  return std::vector<int64_t>(buffer.dims, buffer.dims + buffer.rank);
}

// The element type of an operand or result, if NumPy's memory can hold it as XLA's does.
PJRT_Buffer_Type host_type(const Buffer& buffer) {
  PJRT_Buffer_Type type = pjrt_type(buffer.type);
  if (bits_of(type) < 8) {
    refuse(std::string("a Python callback cannot take or return ") + name_of(type) +
           " arrays, whose elements share bytes; convert to an 8-bit type around the callback");
  }
  return type;
}

// An operand or result in host memory that NumPy arrays can use.
struct HostBuffer {
  std::vector<int64_t> dims;
  PJRT_Buffer_Type type;
  size_t bytes;
  BlockRef block;  // null if the memory is XLA's
  void* data;
};

HostBuffer describe_host(const Buffer& buffer) {
  HostBuffer host;
  host.dims = dims_of(buffer);
  host.type = host_type(buffer);
  host.bytes = dense_bytes(host.type, host.dims);
  host.data = nullptr;
  return host;
}

HostBuffer with_block(const Buffer& buffer) {
  HostBuffer host = describe_host(buffer);
  host.block = std::make_shared<Block>(host.bytes);
  host.data = host.block->data();
  return host;
}

// The arguments of a function and the memory for its results.
struct HostCall {
  uint64_t id;
  std::vector<HostBuffer> operands, results;
};

void copy_result(PyObject* value, const HostBuffer& result, size_t index) {
  PyObject* dtype = dtype_of_type(result.type);
  // The memory is there during the call; no reference to `target` outlives that.
  PyRef target = PyRef::steal(
      checked(numpy_over(result.data, result.dims, dtype, PyRef::borrow(Py_None), /*writeable=*/true)));
  PyRef source = PyRef::steal(checked(PyArray_FROM_O(value)));
  PyArrayObject* from = as_numpy(source.get());
  PyArrayObject* to = as_numpy(target.get());
  PyRef from_shape = PyRef::steal(checked(PyArray_IntTupleFromIntp(PyArray_NDIM(from), PyArray_DIMS(from))));
  PyRef to_shape = PyRef::steal(checked(PyArray_IntTupleFromIntp(PyArray_NDIM(to), PyArray_DIMS(to))));
  if (!PyArray_EquivTypes(PyArray_DESCR(from), PyArray_DESCR(to))) {
    throw_python(PyExc_TypeError, "the callback returned dtype %S for result %lld, the declared dtype is %S",
                 PyArray_DESCR(from), static_cast<long long>(index), dtype);
  }
  if (PyObject_RichCompareBool(from_shape.get(), to_shape.get(), Py_EQ) != 1) {
    throw_python(PyExc_ValueError, "the callback returned shape %R for result %lld, the declared shape is %R",
                 from_shape.get(), static_cast<long long>(index), to_shape.get());
  }
  if (PyArray_CopyInto(to, from) < 0) throw PythonError();
}

void call_function(const HostCall& call) {
  auto found = state().functions.find(call.id);
  if (found == state().functions.end()) {
    throw_python(PyExc_LookupError, "no callback is registered under number %llu in this process",
                 static_cast<unsigned long long>(call.id));
  }
  PyRef function = found->second;
  PyRef args = PyRef::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(call.operands.size()))));
  for (size_t i = 0; i < call.operands.size(); ++i) {
    const HostBuffer& operand = call.operands[i];
    PyObject* array =
        numpy_over_block(operand.block, operand.dims, dtype_of_type(operand.type), /*writeable=*/false);
    PyTuple_SET_ITEM(args.get(), static_cast<Py_ssize_t>(i), checked(array));
  }
  PyRef value = PyRef::steal(checked(PyObject_CallObject(function.get(), args.get())));
  PyRef results = PyRef::steal(PySequence_Fast(value.get(), "the callback must return a sequence of arrays"));
  checked(results.get());
  if (PySequence_Fast_GET_SIZE(results.get()) != static_cast<Py_ssize_t>(call.results.size())) {
    throw_python(PyExc_ValueError, "the callback returned %zd results, %zu were declared",
                 PySequence_Fast_GET_SIZE(results.get()), call.results.size());
  }
  for (size_t i = 0; i < call.results.size(); ++i) {
    copy_result(PySequence_Fast_GET_ITEM(results.get(), static_cast<Py_ssize_t>(i)), call.results[i], i);
  }
}

// Takes the Python error that is set, keeps it for take_callback_error, and returns what it says.
std::string keep_error() {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  PyRef type_ref = PyRef::steal(type), value_ref = PyRef::steal(value), trace_ref = PyRef::steal(traceback);
  if (trace_ref) PyException_SetTraceback(value, traceback);
  PyRef said = PyRef::steal(PyObject_Str(value));
  const char* utf8 = said ? PyUnicode_AsUTF8(said.get()) : nullptr;
  PyErr_Clear();
  const char* name = PyExceptionClass_Check(type) ? PyExceptionClass_Name(type) : "error";
  std::string text = std::string(name) + ": " + (utf8 ? utf8 : "(its text cannot be shown)");
  state().failures.push_back(Failure{text, value_ref});
  if (state().failures.size() > kKeptErrors) state().failures.pop_front();
  return text;
}

// Programs in 32-bit mode have no 64-bit operands, so a number may come in either width.
size_t bytes_of_number(const CallFrame& frame) {
  if (frame.args.size > 0) {
    const Buffer& first = frame.args.buffer(0);
    bool single = true;
    for (int64_t i = 0; i < first.rank; ++i) single = single && first.dims[i] == 1;
    if (single && first.type == DataType::kU32) return 4;
    if (single && first.type == DataType::kU64) return 8;
  }
  refuse("anima_python_callback needs one u32 or u64 as its first operand: the number of the callback");
}

template <typename Memory>
HostCall read_call(const CallFrame& frame, Memory& memory) {
  HostCall call;
  size_t width = bytes_of_number(frame);
  uint32_t narrow = 0;
  void* number = width == 4 ? static_cast<void*>(&narrow) : &call.id;
  memory.to_host(number, frame.args.buffer(0).data, width);
  for (int64_t i = 1; i < frame.args.size; ++i) {
    call.operands.push_back(with_block(frame.args.buffer(i)));
    memory.to_host(call.operands.back().data, frame.args.buffer(i).data, call.operands.back().bytes);
  }
  for (int64_t i = 0; i < frame.rets.size; ++i) {
    const Buffer& result = frame.rets.buffer(i);
    call.results.push_back(Memory::kOnHost ? describe_host(result) : with_block(result));
    if (Memory::kOnHost) call.results.back().data = result.data;
  }
  memory.wait();
  if (width == 4) call.id = narrow;
  return call;
}

// Calls the function; what it says if it raises, else empty.
std::string call_with_gil(const HostCall& call) {
  WithGil gil;
  CallbackScope scope;
  try {
    call_function(call);
    return std::string();
  } catch (...) {
    set_python_error();
    return keep_error();
  }
}

template <typename Memory>
void run(CallFrame& frame) {
  Memory memory(frame);
  HostCall call = read_call(frame, memory);
  std::string error = call_with_gil(call);
  if (!error.empty()) throw PjrtError(PJRT_Error_Code_INTERNAL, "a Python callback raised " + error);
  for (size_t i = 0; i < call.results.size(); ++i) {
    const HostBuffer& result = call.results[i];
    memory.to_device(frame.rets.buffer(static_cast<int64_t>(i)).data, result.data, result.bytes);
  }
  memory.wait();  // the blocks go with this call
}

}  // namespace

uint64_t register_callback(PyObject* function) {
  uint64_t id = state().next_id++;
  state().functions.emplace(id, PyRef::borrow(function));
  return id;
}

bool release_callback(uint64_t id) {
  auto found = state().functions.find(id);
  if (found == state().functions.end()) return false;
  PyRef last = std::move(found->second);  // its finaliser may come back here: the map is done by then
  state().functions.erase(found);
  return true;
}

PyRef take_callback_error(const std::string& message) {
  std::deque<Failure>& failures = state().failures;
  for (size_t i = failures.size(); i-- > 0;) {
    if (!message.empty() && message.find(failures[i].text) == std::string::npos) continue;
    Failure found = std::move(failures[i]);
    failures.erase(failures.begin() + static_cast<std::ptrdiff_t>(i));
    return found.error;
  }
  return PyRef();
}

void register_python_callback(Plugin& plugin) {
  constexpr const char* kName = "anima_python_callback";
  if (plugin.platform() == "cpu") {
    register_handler(plugin, kName, "Host", {nullptr, nullptr, nullptr, &handler<run<HostMemory>>});
  } else if (plugin.platform() == "cuda") {
    register_handler(plugin, kName, "CUDA", {nullptr, nullptr, nullptr, &handler<run<CudaMemory>>});
  } else {
    throw PluginError("Python callbacks run on CPU and CUDA devices only; the plugin " + plugin.path() +
                      " drives " +
                      (plugin.platform().empty() ? "no devices yet" : plugin.platform() + " devices"));
  }
}

}  // namespace anima::ffi
