// Handlers for test_ffi.py: each shows one thing that a handler may do.
#include <anima/ffi.h>

#include <atomic>
#include <cmath>
#include <complex>
#include <cstring>
#include <stdexcept>
#include <string>

namespace ffi = anima::ffi;

// y = x * by, where x may have one row for all of y's.
static void scale(ffi::Call& call) {
  auto x = call.operand<float>(0);
  auto y = call.result<float>(0);
  const float by = call.attributes().has("by") ? call.attribute<float>("by") : 2.0f;
  if (x.size() == 0 || y.size() % x.size() != 0) throw ffi::Failure("scale: the shapes do not fit");
  for (size_t i = 0; i < y.size(); ++i) y[i] = x[i % x.size()] * by;
}
ANIMA_FFI_HANDLER(Scale, scale);

// y = x + z with a leading axis of one row, or none, repeated.
static void add(ffi::Call& call) {
  auto x = call.operand<float>(0), z = call.operand<float>(1);
  auto y = call.result<float>(0);
  for (size_t i = 0; i < y.size(); ++i) y[i] = x[i % x.size()] + z[i % z.size()];
}
ANIMA_FFI_HANDLER(Add, add);

// The dimensions of the first operand, of the second, and of the first result: at most 3 each.
static void shapes(ffi::Call& call) {
  auto y = call.result<float>(0);
  std::fill(y.begin(), y.end(), -1.0f);
  size_t at = 0;
  for (size_t i = 0; i < call.operands(); ++i) {
    for (int64_t dim : call.operand<float>(i).dims()) y[at++] = static_cast<float>(dim);
  }
}
ANIMA_FFI_HANDLER(Shapes, shapes);

// The memory of a matrix, in its order.
static void memory(ffi::Call& call) {
  auto x = call.operand<float>(0);
  auto y = call.result<float>(0);
  std::memcpy(y.data(), x.data(), x.size() * sizeof(float));
}
ANIMA_FFI_HANDLER(Memory, memory);

static void two(ffi::Call& call) {
  auto x = call.operand<int32_t>(0);
  auto sum = call.result<int32_t>(0);
  auto flags = call.result<bool>(1);
  sum[0] = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum[0] += x[i];
    flags[i] = x[i] > 0;
  }
}
ANIMA_FFI_HANDLER(Two, two);

static std::string text;  // what `attributes` was given, for the tests to read

template <class T>
static void note(const char* name, T value) {
  text += std::string(name) + "=" + std::to_string(value) + ";";
}

static void attributes(ffi::Call& call) {
  auto given = call.attributes();
  text.clear();
  if (given.has("flag")) note("flag", given.number<bool>("flag"));
  if (given.has("integer")) note("integer", given.number<int64_t>("integer"));
  if (given.has("real")) note("real", given.number<double>("real"));
  if (given.has("small")) note("small", given.number<int8_t>("small"));
  if (given.has("unsigned")) note("unsigned", given.number<uint16_t>("unsigned"));
  if (given.has("single")) note("single", given.number<float>("single"));
  if (given.has("string")) text += "string=" + std::string(given.string("string")) + ";";
  if (given.has("array")) {
    for (int32_t item : given.array<int32_t>("array")) note("array", item);
  }
  if (given.has("matrix")) {
    for (double item : given.array<double>("matrix")) note("matrix", item);
  }
  if (given.has("inner")) {
    note("inner.a", given.dictionary("inner").number<int64_t>("a"));
    text += "inner.b=" + std::string(given.dictionary("inner").string("b")) + ";";
  }
  auto y = call.result<uint8_t>(0);
  if (text.size() > y.size()) throw ffi::Failure("attributes: the result is too short");
  std::memset(y.data(), 0, y.size());
  std::memcpy(y.data(), text.data(), text.size());
}
ANIMA_FFI_HANDLER(AllAttributes, attributes);

static void refuse(ffi::Call& call) {
  auto how = call.attributes().string("how");
  if (how == "failure") throw ffi::Failure("no such thing", ffi::ErrorCode::kNotFound);
  if (how == "exception") throw std::runtime_error("an exception of C++");
  if (how == "unknown") throw 3;
  if (how == "operand") call.operand<float>(7);
  if (how == "dtype") call.operand<int64_t>(0);
  if (how == "attribute") call.attribute<float>("how");
  if (how == "missing") call.attribute<float>("there is none");
}
ANIMA_FFI_HANDLER(Refuse, refuse);

// Adds one in place; whether operand and result are the same memory is its second result.
static void increment(ffi::Call& call) {
  auto x = call.operand<float>(0);
  auto y = call.result<float>(0);
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] + 1;
  call.result<bool>(1)[0] = x.data() == y.data();
}
ANIMA_FFI_HANDLER(Increment, increment);

static std::atomic<int> calls{0};
static void count(ffi::Call&) { ++calls; }
ANIMA_FFI_HANDLER(Count, count);
extern "C" ANIMA_FFI_EXPORT int CallsSoFar() { return calls; }

// Half-width numbers have no C++ type.
static void half_bits(ffi::Call& call) {
  const ffi::Buffer& x = call.any_operand(0);
  if (x.type != ffi::DataType::kBF16) throw ffi::Failure("half_bits: not bfloat16");
  auto y = call.result<uint16_t>(0);
  std::memcpy(y.data(), x.data, ffi::count_of(x) * 2);
}
ANIMA_FFI_HANDLER(HalfBits, half_bits);

// A handler of stages, whose first makes a number that the last one adds.
static std::atomic<int> made{0}, deleted{0};
static ffi::TypeId state_type{0};
static const ffi::TypeInfo state_info{sizeof(ffi::TypeInfo), nullptr, [](void* state) {
                                        ++deleted;
                                        delete static_cast<float*>(state);
                                      }};
static void make_state(ffi::Call& call) {
  if (call.stage() != ffi::Stage::kInstantiate) throw ffi::Failure("another stage");
  ++made;
  call.set_state(state_type, new float(call.attribute<float>("start")));
}
static void add_state(ffi::Call& call) {
  auto x = call.operand<float>(0);
  auto y = call.result<float>(0);
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] + call.state<float>(state_type);
}
ANIMA_FFI_HANDLER(MakeState, make_state);
ANIMA_FFI_HANDLER(AddState, add_state);
extern "C" ANIMA_FFI_EXPORT int StatesMade() { return made; }
extern "C" ANIMA_FFI_EXPORT int StatesDeleted() { return deleted; }
extern "C" ANIMA_FFI_EXPORT ffi::TypeId* StateType() { return &state_type; }
extern "C" ANIMA_FFI_EXPORT const ffi::TypeInfo* StateInfo() { return &state_info; }
