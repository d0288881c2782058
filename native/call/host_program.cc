#include "call/host_program.h"

#include <string>

#include "common/small_vector.h"
#include "pjrt/contents.h"

namespace anima {
namespace {

constexpr size_t kInline = 2048;
constexpr size_t kAlign = alignof(Contents);

[[noreturn]] void refuse(const char* why) {
  throw_python(PyExc_ValueError, "CallPlan: `host` is no program: %s", why);
}

PyObject* item_of(const PyRef& tuple, Py_ssize_t i) { return PyTuple_GET_ITEM(tuple.get(), i); }

// The items of something that has so many.
PyRef parts_of(PyObject* item, Py_ssize_t count) {
  if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != count) refuse("one of its parts has another form");
  return PyRef::borrow(item);
}

AvalRef read_aval(PyObject* item) {
  PyRef parts = parts_of(item, 3);
  int weak = PyObject_IsTrue(item_of(parts, 2));
  if (weak < 0) throw PythonError();
  AvalRef aval = intern_aval(item_of(parts, 0), item_of(parts, 1), weak == 1);
  if (aval->extended || !Contents::suits(aval->type, aval->dims))
    refuse("one of its arrays is large, or of elements that share bytes");
  return aval;
}

}  // namespace

HostProgram::HostProgram(PyObject* description, size_t num_leaves, const std::vector<AvalRef>& outputs)
    : num_leaves_(num_leaves) {
  PyRef parts = parts_of(description, 4);
  PyRef avals = tuple_of(item_of(parts, 0));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(avals.get()); i++)
    avals_.push_back(read_aval(item_of(avals, i)));
  if (avals_.size() < num_leaves) refuse("it has fewer values than the call has leaves");
  origins_.assign(avals_.size(), Origin::kNone);
  std::fill_n(origins_.begin(), num_leaves, Origin::kGiven);
  read_constants(item_of(parts, 1));
  read_steps(item_of(parts, 2));
  read_outputs(item_of(parts, 3), outputs);
}

size_t HostProgram::read_number(PyObject* item) const {
  size_t number = PyLong_AsSize_t(item);
  if (number == static_cast<size_t>(-1) && PyErr_Occurred()) throw PythonError();
  if (number >= avals_.size()) refuse("there is no value of a number that it names");
  return number;
}

std::vector<size_t> HostProgram::read_numbers(PyObject* items) const {
  PyRef tuple = tuple_of(items);
  std::vector<size_t> numbers;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple.get()); i++)
    numbers.push_back(read_number(item_of(tuple, i)));
  return numbers;
}

void HostProgram::read_constants(PyObject* constants) {
  PyRef items = tuple_of(constants);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
    PyRef parts = parts_of(item_of(items, i), 2);
    size_t value = read_number(item_of(parts, 0));
    char* bytes = nullptr;
    Py_ssize_t length = 0;
    if (PyBytes_AsStringAndSize(item_of(parts, 1), &bytes, &length) < 0) throw PythonError();
    if (origins_[value] != Origin::kNone) refuse("a constant is something else, too");
    if (static_cast<size_t>(length) != avals_[value]->nbytes)
      refuse("a constant has another size than its aval");
    origins_[value] = Origin::kGiven;
    constants_.push_back({value, std::vector<uint64_t>((static_cast<size_t>(length) + 7) / 8)});
    if (length > 0) std::memcpy(constants_.back().bytes.data(), bytes, static_cast<size_t>(length));
  }
}

void HostProgram::read_steps(PyObject* steps) {
  PyRef items = tuple_of(steps);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
    PyRef parts = parts_of(item_of(items, i), 4);
    Py_ssize_t length = 0;
    if (!PyUnicode_Check(item_of(parts, 0))) refuse("a step has no name");
    const char* name = PyUnicode_AsUTF8AndSize(item_of(parts, 0), &length);
    if (name == nullptr) throw PythonError();
    Step& step = steps_.emplace_back();
    step.operands = read_numbers(item_of(parts, 1));
    step.results = read_numbers(item_of(parts, 2));
    std::vector<AvalRef> operands, results;
    for (size_t value : step.operands) {
      if (origins_[value] == Origin::kNone) refuse("a step reads what nothing has written");
      operands.push_back(avals_[value]);
    }
    for (size_t value : step.results) {
      if (origins_[value] != Origin::kNone) refuse("a step writes what is there already");
      origins_[value] = Origin::kComputed;
      results.push_back(avals_[value]);
    }
    std::string_view text(name, static_cast<size_t>(length));
    if (!name_.empty()) name_ += " ";
    name_ += text;
    step.kernel = make_host_kernel(HostOperation{text, operands, results, item_of(parts, 3)});
  }
}

void HostProgram::read_outputs(PyObject* numbers, const std::vector<AvalRef>& outputs) {
  outputs_ = read_numbers(numbers);
  if (outputs_.size() != outputs.size()) refuse("it has another number of outputs");
  std::vector<char> is_output(avals_.size());
  for (size_t i = 0; i < outputs_.size(); i++) {
    size_t value = outputs_[i];
    if (origins_[value] != Origin::kComputed || is_output[value]) refuse("an output is no result of its own");
    is_output[value] = 1;
    if (avals_[value]->type != outputs[i]->type || avals_[value]->dims != outputs[i]->dims)
      refuse("an output is of another shape or dtype");
  }
  for (size_t value = 0; value < avals_.size(); value++) {
    if (origins_[value] != Origin::kComputed || is_output[value]) continue;
    locals_.push_back({value, locals_bytes_});
    locals_bytes_ += (avals_[value]->nbytes + kAlign - 1) / kAlign * kAlign;
  }
}

bool HostProgram::run(const void* const* leaves, void* const* outputs) const {
  alignas(kAlign) unsigned char few[kInline];
  std::unique_ptr<unsigned char[]> many(locals_bytes_ > kInline ? new unsigned char[locals_bytes_] : nullptr);
  unsigned char* memory = many ? many.get() : few;
  SmallVector<void*, 16> values;
  values.extend_to(avals_.size());
  // What is given is only read.
  for (size_t i = 0; i < num_leaves_; i++) values[i] = const_cast<void*>(leaves[i]);
  for (const Constant& constant : constants_)
    values[constant.value] = const_cast<uint64_t*>(constant.bytes.data());
  for (const Local& local : locals_) values[local.value] = memory + local.offset;
  for (size_t i = 0; i < outputs_.size(); i++) values[outputs_[i]] = outputs[i];
  SmallVector<const void*, 8> operands;
  SmallVector<void*, 4> results;
  for (const Step& step : steps_) {
    operands.clear();
    results.clear();
    for (size_t value : step.operands) operands.push_back(values[value]);
    for (size_t value : step.results) results.push_back(values[value]);
    if (!step.kernel->run(operands.data(), results.data())) return false;
  }
  return true;
}

}  // namespace anima
