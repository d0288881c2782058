#include "call/host_index.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "array/array.h"
#include "array/hooks.h"
#include "array/host_value.h"
#include "call/host_arithmetic.h"
#include "call/selection.h"
#include "common/per_options.h"
#include "common/thread_state.h"
#include "pjrt/contents.h"
#include "pjrt/timeline.h"

namespace anima {
namespace {

// ---- where ----------------------------------------------------------------------------------------------

PyRef& device_rule() {
  static PyRef& rule = *new PyRef;  // never destroyed: holds a Python object
  return rule;
}

PerOptions<Device*> known_devices;

// Where uncommitted arrays are indexed here under the options in force; null if nothing is.
Device* index_device() {
  return known_devices.get([]() -> Device* {
    PyRef rule = device_rule();
    if (!rule) return nullptr;
    PyRef found = PyRef::steal(checked(PyObject_CallNoArgs(rule.get())));
    return found.get() == Py_None ? nullptr : unwrap_device(found.get(), "the rule's result");
  });
}

// Types whose elements XLA moves as they are; a bfloat16 that is no number it does not.
bool is_movable(PJRT_Buffer_Type type) {
  switch (type) {
    case PJRT_Buffer_Type_F16:
    case PJRT_Buffer_Type_BF16:
    case PJRT_Buffer_Type_C64:
    case PJRT_Buffer_Type_C128:
      return true;
    default:
      return for_number_type(type, [](auto) { return true; });
  }
}

bool has_delicate_bfloat16(PJRT_Buffer_Type type, const void* data, size_t count) {
  if (type != PJRT_Buffer_Type_BF16) return false;
  auto* bits = static_cast<const uint16_t*>(data);
  for (size_t i = 0; i < count; i++) {
    if ((bits[i] & 0x7FFF) > 0x7F80) return true;
  }
  return false;
}

// The array that is indexed, if arrays of its type are indexed here, where it is.
ArrayObject* indexable(PyObject* object, Whereabouts& where) {
  if (!is_array(object) || current_trace() != nullptr || transfers_guarded()) return nullptr;
  ArrayObject* array = as_array(object);
  where = {array->device, false};
  if (where.device == nullptr) return nullptr;
  if (!where.device->client->keeps_contents()) return nullptr;
  if (!is_movable(array->aval->type) || canonical_type(array->aval->type) != array->aval->type)
    return nullptr;
  Device* chosen = index_device();
  if (chosen == nullptr || (chosen != where.device && !array->committed)) return nullptr;
  return array;
}

PyObject* none() { Py_RETURN_NONE; }

PyObject* finished(AvalRef aval, ContentsRef contents, const Whereabouts& where, const char* name,
                   int64_t start) {
  if (start != 0) timeline::add(Moment::kLaunch, name, where.device, start, 0);
  return make_array(std::move(aval), std::make_shared<Buffer>(where.device, std::move(contents)),
                    where.committed);
}

// ---- moving ---------------------------------------------------------------------------------------------

void gather(const Selection& selection, PJRT_Buffer_Type type, const void* from, void* to) {
  for_width_of(type, [&](auto zero) {
    using T = decltype(zero);
    auto* target = static_cast<T*>(to);
    selection.for_each_run([&](int64_t first, int64_t count, int64_t step) {
      if (first == Selection::kNowhere) return;  // what is read is somewhere, as read_mode sees to
      auto* source = static_cast<const T*>(from) + first;
      if (step == 1 && count > 4) {
        std::memcpy(target, source, static_cast<size_t>(count) * sizeof(T));
      } else {
        for (int64_t i = 0; i < count; i++) target[i] = source[i * step];
      }
      target += count;
    });
  });
}

// What a word for indices out of bounds means; false for words that Python has to judge.
bool read_mode(PyObject* mode, Outside otherwise, Outside& out) {
  if (mode == Py_None) return out = otherwise, true;
  if (!PyUnicode_CheckExact(mode)) return false;
  if (PyUnicode_CompareWithASCIIString(mode, "clip") == 0) return out = Outside::kNearest, true;
  if (PyUnicode_CompareWithASCIIString(mode, "promise_in_bounds") == 0) return out = Outside::kRefused, true;
  bool dropped = PyUnicode_CompareWithASCIIString(mode, "fill") == 0 ||
                 PyUnicode_CompareWithASCIIString(mode, "drop") == 0;
  out = otherwise == Outside::kNone ? Outside::kNone : Outside::kRefused;
  return dropped;
}

PyObject* read_at(PyObject* x, PyObject* index, PyObject* mode) {
  Outside outside;
  Whereabouts where;
  Dense dense;
  Selection selection;
  if (!read_mode(mode, Outside::kNearest, outside)) return none();
  ArrayObject* array = indexable(x, where);
  if (array == nullptr) return none();
  Client::Use use(where.device->client);  // the addresses are good as long as this lives
  if (!read_dense(x, where, dense)) return none();
  int64_t start = timeline::on() ? timeline::now() : 0;
  if (!selection.read(array->aval->dims, index, outside, where)) return none();
  if (selection.is_all()) return Py_NewRef(x);
  const PJRT_Buffer_Type type = array->aval->type;
  if (!Contents::suits(type, selection.dims())) return none();
  ContentsRef contents = Contents::make(type, selection.dims());
  gather(selection, type, dense.data, contents->data());
  if (has_delicate_bfloat16(type, contents->data(), static_cast<size_t>(selection.size()))) return none();
  AvalRef aval = intern_aval(type, selection.dims(), array->aval->weak);
  return finished(std::move(aval), std::move(contents), where, "getitem", start);
}

// ---- updating -------------------------------------------------------------------------------------------

enum class Update { kSet, kAdd, kSubtract, kMultiply, kMin, kMax };

bool read_update(PyObject* name, Update& out) {
  static constexpr std::pair<const char*, Update> kNames[] = {
      {"set", Update::kSet},           {"add", Update::kAdd}, {"subtract", Update::kSubtract},
      {"multiply", Update::kMultiply}, {"min", Update::kMin}, {"max", Update::kMax}};
  if (!PyUnicode_Check(name))
    throw_python(PyExc_TypeError, "update_at: `operation` must be a str, got %R", name);
  for (const auto& [text, update] : kNames) {
    if (PyUnicode_CompareWithASCIIString(name, text) == 0) return out = update, true;
  }
  throw_python(PyExc_ValueError, "update_at: there is no `operation` %R", name);
}

// The values of an update in the array's dtype: one for all, or one for each element in order.
struct Values {
  const void* data = nullptr;
  size_t step = 0;
  Scalar scalar;
  std::vector<uint64_t> memory;
};

// A number of another type as one of the array's, where no more than Python's rules for its scalars is
// needed.
template <class T>
bool convert(const Scalar& from, T& to) {
  return for_number_type(from.type, [&](auto zero) {
    using From = decltype(zero);
    if constexpr (std::is_same_v<T, bool> || (Bits<From>::kFloat && !Bits<T>::kFloat)) {
      return false;
    } else {
      From value;
      std::memcpy(&value, from.bytes, sizeof(value));
      to = static_cast<T>(value);
      return delicate<Care::kNumbers>(value) == 0 && delicate<Care::kNumbers>(to) == 0;
    }
  });
}

bool read_scalar_value(PyObject* object, PJRT_Buffer_Type type, Values& out) {
  if (PyLong_CheckExact(object)) {  // one that is too large is an error that Python words
    int overflow = 0;
    int64_t number = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0 || (!x64_enabled() && number != static_cast<int32_t>(number))) return false;
  } else if (!PyFloat_CheckExact(object) && !PyComplex_CheckExact(object) && !PyBool_Check(object) &&
             !((PyArray_IsScalar(object, Number) || PyArray_IsScalar(object, Bool)) && is_of_c(object))) {
    return false;
  }
  Scalar given;
  if (!read_scalar(object, given)) return false;
  out.data = out.scalar.bytes;
  out.scalar = given;
  if (given.type == type) return true;
  if (!given.weak && !PyBool_Check(object)) return false;
  return for_number_type(type, [&](auto zero) {
    using T = decltype(zero);
    T number;
    if (!convert<T>(given, number)) return false;
    std::memcpy(out.scalar.bytes, &number, sizeof(number));
    return true;
  });
}

// Repeats values along the dimensions of the selection that they do not have.
bool spread(const Dense& given, const std::vector<int64_t>& dims, size_t itemsize, size_t size, Values& out) {
  size_t skipped = 0;
  while (given.num_dims - skipped > dims.size() && given.dims[skipped] == 1) skipped++;
  const size_t rank = given.num_dims - skipped;
  if (rank > dims.size()) return false;
  const size_t offset = dims.size() - rank;
  for (size_t d = 0; d < rank; d++) {
    int64_t n = given.dims[skipped + d];
    if (n != 1 && n != dims[offset + d]) return false;
  }
  out.data = given.data;
  out.step = given.size == 1 ? 0 : 1;
  if (given.size == 1 || given.size == size) return true;
  out.memory.resize((size * itemsize + 7) / 8);
  auto* to = reinterpret_cast<char*>(out.memory.data());
  for (size_t i = 0; i < size; i++) {
    size_t left = i, at = 0, step = 1;
    for (size_t d = dims.size(); d-- > offset; left /= static_cast<size_t>(dims[d])) {
      auto n = static_cast<size_t>(given.dims[skipped + d - offset]);
      if (n != 1) at += left % static_cast<size_t>(dims[d]) * step;
      step *= n;
    }
    std::memcpy(to + i * itemsize, static_cast<const char*>(given.data) + at * itemsize, itemsize);
  }
  out.data = out.memory.data();
  return true;
}

bool read_values(PyObject* object, PJRT_Buffer_Type type, const Selection& selection, Whereabouts& where,
                 Values& out) {
  Dense dense;
  if (!is_array(object) && !PyArray_CheckExact(object)) return read_scalar_value(object, type, out);
  if (!read_dense(object, where, dense) || dense.type != type) return false;
  const size_t size = static_cast<size_t>(selection.size());
  if (!spread(dense, selection.dims(), bits_of(type) / 8, size, out)) return false;
  return !has_delicate_bfloat16(type, out.data, out.step == 0 ? 1 : size);
}

void scatter(const Selection& selection, PJRT_Buffer_Type type, const Values& values, void* target) {
  for_width_of(type, [&](auto zero) {
    using T = decltype(zero);
    auto* value = static_cast<const T*>(values.data);
    const auto value_step = static_cast<int64_t>(values.step);
    selection.for_each_run([&](int64_t first, int64_t count, int64_t step) {
      if (first != Selection::kNowhere) {
        T* to = static_cast<T*>(target) + first;
        for (int64_t i = 0; i < count; i++) to[i * step] = value[i * value_step];
      }
      value += count * value_step;
    });
  });
}

// False if a number is left to the program.
template <class Op, class T>
bool combine(const Selection& selection, const Values& values, void* target) {
  auto* value = static_cast<const T*>(values.data);
  const auto value_step = static_cast<int64_t>(values.step);
  decltype(delicate<Op::kCare>(T())) found = 0;
  selection.for_each_run([&](int64_t first, int64_t count, int64_t step) {
    if (first != Selection::kNowhere) {
      T* to = static_cast<T*>(target) + first;
      for (int64_t i = 0; i < count; i++) {
        T old = to[i * step], given = value[i * value_step], result = Op::of(old, given);
        found |= delicate<Op::kCare>(old) | delicate<Op::kCare>(given) | delicate<Op::kCare>(result);
        to[i * step] = result;
      }
    }
    value += count * value_step;
  });
  return found == 0;
}

// Of truth values a sum is "or", a product is "and".
bool combine_truths(Update update, const Selection& selection, const Values& values, void* target) {
  if (update == Update::kAdd || update == Update::kMax)
    return combine<Or, uint8_t>(selection, values, target);
  if (update == Update::kSubtract) return false;
  return combine<And, uint8_t>(selection, values, target);
}

bool apply(Update update, PJRT_Buffer_Type type, const Selection& selection, const Values& values,
           void* target) {
  if (update == Update::kSet) return scatter(selection, type, values, target), true;
  if (type == PJRT_Buffer_Type_PRED) return combine_truths(update, selection, values, target);
  return for_number_type(type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, bool>) return false;
    switch (update) {
      case Update::kAdd:
        return combine<Add, T>(selection, values, target);
      case Update::kSubtract:
        return combine<Subtract, T>(selection, values, target);
      case Update::kMultiply:
        return combine<Multiply, T>(selection, values, target);
      case Update::kMin:
        return combine<Minimum, T>(selection, values, target);
      default:
        return combine<Maximum, T>(selection, values, target);
    }
  });
}

PyObject* update_at(PyObject* operation, PyObject* x, PyObject* index, PyObject* given, PyObject* mode) {
  Update update;
  Outside outside;
  Whereabouts where;
  Dense dense;
  Selection selection;
  Values values;
  if (!read_update(operation, update) || !read_mode(mode, Outside::kNone, outside)) return none();
  ArrayObject* array = indexable(x, where);
  if (array == nullptr || !Contents::suits(array->aval->type, array->aval->dims)) return none();
  Client::Use use(where.device->client);
  if (!read_dense(x, where, dense)) return none();
  int64_t start = timeline::on() ? timeline::now() : 0;
  if (!selection.read(array->aval->dims, index, outside, where) || selection.size() == 0) return none();
  const PJRT_Buffer_Type type = array->aval->type;
  if (!read_values(given, type, selection, where, values)) return none();
  if (has_delicate_bfloat16(type, dense.data, dense.size)) return none();
  ContentsRef contents = Contents::make(type, array->aval->dims);
  std::memcpy(contents->data(), dense.data, contents->bytes());
  if (!apply(update, type, selection, values, contents->data())) return none();
  return finished(array->aval, std::move(contents), where, "at", start);
}

// ---- the functions --------------------------------------------------------------------------------------

void expect_count(const char* name, Py_ssize_t count, Py_ssize_t wanted) {
  if (count != wanted)
    throw_python(PyExc_TypeError, "%s() takes %zd arguments, got %zd", name, wanted, count);
}

PyObject* py_read_at(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&] {
    expect_count("read_at", count, 3);
    return checked(read_at(args[0], args[1], args[2]));
  });
}

PyObject* py_update_at(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&] {
    expect_count("update_at", count, 5);
    return checked(update_at(args[0], args[1], args[2], args[3], args[4]));
  });
}

PyObject* py_set_index_device(PyObject*, PyObject* rule) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    if (!PyCallable_Check(rule))
      throw_python(PyExc_TypeError, "set_index_device: the rule must be callable, got %R", rule);
    device_rule() = PyRef::borrow(rule);
    forget_index_devices();
    Py_RETURN_NONE;
  });
}

template <class Fn>
PyCFunction as_function(Fn* fn) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fn));
}

PyMethodDef functions[] = {
    {"read_at", as_function(py_read_at), METH_FASTCALL,
     "read_at($module, x, index, mode, /)\n--\n\n"
     "`x[index]`, if that takes no program; otherwise None. `mode` is None or a word for indices out of "
     "bounds."},
    {"update_at", as_function(py_update_at), METH_FASTCALL,
     "update_at($module, operation, x, index, values, mode, /)\n--\n\n"
     "A copy of `x` with `values` put at, or combined with, `x[index]`, if that takes no program; otherwise "
     "None."},
    {"set_index_device", py_set_index_device, METH_O,
     "set_index_device($module, rule, /)\n--\n\n"
     "The function that says on which device uncommitted arrays are indexed without a program under the "
     "options in force, or None if none are."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void forget_index_devices() { known_devices.forget(); }

void bind_host_index(nanobind::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) throw PythonError();
}

}  // namespace anima
