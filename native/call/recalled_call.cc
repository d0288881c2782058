#include "call/recalled_call.h"

#include <cstring>
#include <memory>
#include <new>

#include "array/array.h"
#include "array/hooks.h"
#include "array/numpy_api.h"
#include "array/values.h"
#include "call/function_object.h"
#include "common/py.h"
#include "common/recursion.h"
#include "common/small_vector.h"
#include "common/thread_state.h"
#include "pjrt/contents.h"

namespace anima {

PyTypeObject* recalled_type = nullptr;  // owned for the life of the process

namespace {

constexpr size_t kSets = 64;        // of two memories each, for every function
constexpr size_t kSeen = 256;       // hashes of calls that were seen once, for every function
constexpr size_t kMostTokens = 24;  // calls with more arguments and dimensions are not remembered
constexpr int kDeepest = 3;         // likewise tuples in tuples

enum Kind : uint64_t { kNone, kFalse, kTrue, kInt, kFloat, kComplex, kObject, kName, kTuple, kAval };

// An argument, or a part of one. Two calls are the same if their tokens are.
struct Token {
  Kind kind;
  uint64_t value;
  bool operator==(const Token& other) const { return kind == other.kind && value == other.value; }
};
using Tokens = SmallVector<Token, kMostTokens>;

template <class T>
uint64_t bits_of_value(T value) {
  static_assert(sizeof(T) == sizeof(uint64_t));
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Appends what stands for a value. False if it can change, or is of a type that is not remembered.
bool describe(PyObject* value, Tokens& tokens, int depth) {
  if (tokens.size() + 2 > kMostTokens) return false;
  PyTypeObject* type = Py_TYPE(value);
  if (type == &PyLong_Type) {
    int overflow = 0;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    tokens.push_back({kInt, static_cast<uint64_t>(number)});
    return overflow == 0;
  }
  if (type == &PyTuple_Type) {
    Py_ssize_t count = PyTuple_GET_SIZE(value);
    tokens.push_back({kTuple, static_cast<uint64_t>(count)});
    for (Py_ssize_t i = 0; i < count; i++) {
      if (depth == kDeepest || !describe(PyTuple_GET_ITEM(value, i), tokens, depth + 1)) return false;
    }
    return true;
  }
  if (type == &PyFloat_Type) {
    tokens.push_back({kFloat, bits_of_value(PyFloat_AS_DOUBLE(value))});
  } else if (value == Py_None) {
    tokens.push_back({kNone, 0});
  } else if (type == &PyBool_Type) {
    tokens.push_back({value == Py_True ? kTrue : kFalse, 0});
  } else if (type == &PyComplex_Type) {
    tokens.push_back({kComplex, bits_of_value(PyComplex_RealAsDouble(value))});
    tokens.push_back({kComplex, bits_of_value(PyComplex_ImagAsDouble(value))});
  } else if (type == &PyUnicode_Type || PyType_Check(value) || PyArray_DescrCheck(value)) {
    tokens.push_back({kObject, reinterpret_cast<uint64_t>(value)});
  } else {
    return false;
  }
  return true;
}

struct Memory {
  size_t hash;
  int64_t options;
  Device* device;
  std::vector<Token> tokens;
  std::vector<PyRef> objects;  // what tokens point to
  AvalRef like;                // likewise
  AvalRef aval;
  ContentsRef contents;
};
using MemoryRef = std::unique_ptr<Memory>;

struct RecalledObject {
  FunctionObject base;
  RecalledObject* previous;
  RecalledObject* next;
  MemoryRef* memories;  // 2 * kSets; of two in a set the later one comes first
  size_t* seen;         // kSeen; what is asked for once is not worth remembering
  bool like;            // of an array that comes first only the aval matters
  bool values;          // a call with one argument makes an array of it; there are no memories then
};

AllOf<RecalledObject> all_recalled;

RecalledObject* as_recalled(PyObject* object) { return reinterpret_cast<RecalledObject*>(object); }

// A call under way.
struct Call {
  PyObject* const* args;
  size_t count;
  PyObject* names;
  Tokens tokens;
  size_t hash = 0;
  int64_t options = 0;
  Device* device = nullptr;
};

bool describe_call(const RecalledObject* self, Call& call) {
  size_t named = call.names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(call.names));
  for (size_t i = 0; i < call.count + named; i++) {
    if (i >= call.count) {
      if (call.tokens.size() == kMostTokens) return false;
      PyObject* name = PyTuple_GET_ITEM(call.names, static_cast<Py_ssize_t>(i - call.count));
      call.tokens.push_back({kName, reinterpret_cast<uint64_t>(name)});
    }
    if (self->like && i == 0 && call.count > 0 && is_array(call.args[0])) {
      call.tokens.push_back({kAval, reinterpret_cast<uint64_t>(as_array(call.args[0])->aval.get())});
    } else if (!describe(call.args[i], call.tokens, 0)) {
      return false;
    }
  }
  call.options = options_key();
  size_t hash = static_cast<size_t>(call.options);
  for (size_t i = 0; i < call.tokens.size(); i++) {
    hash = (hash ^ (call.tokens[i].value + call.tokens[i].kind)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  call.hash = hash;
  return true;
}

bool same_call(const Memory& memory, const Call& call) {
  if (memory.hash != call.hash || memory.options != call.options || memory.device != call.device ||
      memory.tokens.size() != call.tokens.size())
    return false;
  for (size_t i = 0; i < memory.tokens.size(); i++) {
    if (!(memory.tokens[i] == call.tokens[i])) return false;
  }
  return true;
}

MemoryRef* set_of(const RecalledObject* self, const Call& call) {
  return self->memories + 2 * (call.hash % kSets);
}

const Memory* find(const RecalledObject* self, const Call& call) {
  MemoryRef* set = set_of(self, call);
  if (set[0] && same_call(*set[0], call)) return set[0].get();
  if (!set[1] || !same_call(*set[1], call)) return nullptr;
  std::swap(set[0], set[1]);
  return set[0].get();
}

PyObject* recall(const Memory& memory) {
  Client::Use use(memory.device->client);
  ContentsRef contents = Contents::make(memory.aval->type, memory.aval->dims);
  std::memcpy(contents->data(), const_cast<Contents*>(memory.contents.get())->data(), contents->bytes());
  auto buffer = std::make_shared<Buffer>(memory.device, std::move(contents));
  return make_array(memory.aval, std::move(buffer), false);
}

// Whether a dtype among the arguments is that of the result. One that was narrowed was warned of, and will
// be.
bool keeps_dtypes(const Call& call, const AvalInfo& made) {
  if (x64_enabled()) return true;
  for (size_t i = 0; i < call.tokens.size(); i++) {
    if (call.tokens[i].kind != kObject) continue;
    auto* object = reinterpret_cast<PyObject*>(call.tokens[i].value);
    if (object == reinterpret_cast<PyObject*>(&PyFloat_Type) ||
        object == reinterpret_cast<PyObject*>(&PyLong_Type) ||
        object == reinterpret_cast<PyObject*>(&PyBool_Type) ||
        object == reinterpret_cast<PyObject*>(&PyComplex_Type))
      continue;
    PyArray_Descr* descr = nullptr;
    if (PyArray_DescrConverter(object, &descr) == NPY_FAIL) {
      PyErr_Clear();
      return false;
    }
    PyRef owner = PyRef::steal(reinterpret_cast<PyObject*>(descr));
    if (!PyArray_EquivTypes(descr, as_descr(made.dtype.get()))) return false;
  }
  return true;
}

// Keeps the bytes of a result, if it is of the kind that is remembered.
void remember(RecalledObject* self, const Call& call, PyObject* result) {
  if (!is_array(result)) return;
  ArrayObject* array = as_array(result);
  const AvalInfo& aval = *array->aval;
  if (array->committed || array->sharding != nullptr || aval.extended || array->shards.size() != 1) return;
  if (array->shards[0]->device() != call.device || !Contents::suits(aval.type, aval.dims)) return;
  if (!keeps_dtypes(call, aval)) return;
  auto memory = std::make_unique<Memory>();
  memory->hash = call.hash;
  memory->options = call.options;
  memory->device = call.device;
  for (size_t i = 0; i < call.tokens.size(); i++) {
    Token token = call.tokens[i];
    memory->tokens.push_back(token);
    if (token.kind == kObject || token.kind == kName)
      memory->objects.push_back(PyRef::borrow(reinterpret_cast<PyObject*>(token.value)));
    if (token.kind == kAval) memory->like = as_array(call.args[0])->aval;
  }
  memory->aval = array->aval;
  BufferRef buffer = array->shards[0];
  Client::Use use(call.device->client);
  const void* bytes = buffer->readable();
  if (bytes == nullptr) return;
  memory->contents = Contents::make(aval.type, aval.dims);
  std::memcpy(memory->contents->data(), bytes, memory->contents->bytes());
  MemoryRef* set = set_of(self, call);
  MemoryRef gone = std::exchange(set[1], std::move(set[0]));  // dies last: that may run Python code
  set[0] = std::move(memory);
}

PyObject* run(RecalledObject* self, PyObject* const* args, size_t flagged, PyObject* names) {
  PyRef fun = PyRef::borrow(self->base.fun);
  auto plainly = [&] {
    RecursionGuard guard(" in a function of the library");
    return checked(PyObject_Vectorcall(fun.get(), args, flagged, names));
  };
  if (transfers_guarded()) return plainly();
  Call call{args, static_cast<size_t>(PyVectorcall_NARGS(flagged)), names, {}};
  if (self->values) {
    PyObject* made = call.count == 1 && names == nullptr ? array_of_values(args[0]) : nullptr;
    return made != nullptr ? made : plainly();
  }
  if (current_trace() != nullptr || !describe_call(self, call)) return plainly();
  call.device = default_device();
  if (!call.device->client->keeps_contents()) return plainly();
  if (const Memory* memory = find(self, call)) return recall(*memory);
  size_t seen = std::exchange(self->seen[call.hash % kSeen], call.hash);
  PyRef result = PyRef::steal(plainly());
  if (seen == call.hash) remember(self, call, result.get());
  return result.release();
}

PyObject* vectorcall(PyObject* callable, PyObject* const* args, size_t flagged, PyObject* names) {
  return guarded<PyObject*>(nullptr, [&] { return run(as_recalled(callable), args, flagged, names); });
}

// ---- the life of the object ----

PyObject* new_recalled(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"fun", "like", "values", nullptr};
  PyObject* fun = nullptr;
  int like = 0, values = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$pp:Recalled", const_cast<char**>(names), &fun, &like,
                                   &values))
    return nullptr;
  return guarded<PyObject*>(nullptr, [&] {
    if (!PyCallable_Check(fun))
      throw_python(PyExc_TypeError, "Recalled: `fun` must be callable, got %R", fun);
    auto memories = values != 0 ? nullptr : std::make_unique<MemoryRef[]>(2 * kSets);
    auto seen = values != 0 ? nullptr : std::make_unique<size_t[]>(kSeen);
    PyObject* object = checked(type->tp_alloc(type, 0));
    RecalledObject* self = as_recalled(object);
    self->base.vectorcall = vectorcall;
    self->base.fun = PyRef::borrow(fun).release();
    self->like = like != 0;
    self->values = values != 0;
    self->memories = memories.release();
    self->seen = seen.release();
    all_recalled.add(self);
    return object;
  });
}

void release(PyObject* object) {
  RecalledObject* self = as_recalled(object);
  all_recalled.remove(self);
  std::unique_ptr<MemoryRef[]> memories(self->memories);
  std::unique_ptr<size_t[]> seen(self->seen);
  release_function(object);
}

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>(
                    "Recalled(fun, *, like=False, values=False)\n--\n\n"
                    "Calls `fun`, which makes arrays, or makes the same small array again for the same plain "
                    "arguments. like: of an array in the first place only shape, dtype and weak type matter. "
                    "values: nothing is remembered, and one argument alone that is a NumPy array or numbers "
                    "in lists becomes an array without `fun`.")},
    {Py_tp_new, reinterpret_cast<void*>(new_recalled)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse_function)},
    {Py_tp_clear, reinterpret_cast<void*>(clear_function)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc_function<release>)},
    {Py_tp_descr_get, reinterpret_cast<void*>(bind_function)},
    {Py_tp_repr, reinterpret_cast<void*>(repr_of_function)},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {Py_tp_getset, function_properties},
    {0, nullptr}};

PyType_Spec spec = {"anima._native.Recalled", sizeof(RecalledObject), 0, kFunctionFlags, slots};

}  // namespace

void create_recalled_type() {
  recalled_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
}

void forget_recalled() {
  std::vector<MemoryRef> gone;  // released when no list is walked any more: that may run Python code
  for (RecalledObject* self = all_recalled.first(); self != nullptr; self = self->next) {
    for (size_t i = 0; !self->values && i < 2 * kSets; i++) {
      if (self->memories[i]) gone.push_back(std::move(self->memories[i]));
    }
  }
}

}  // namespace anima
