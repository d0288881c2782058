// The arguments of operations in their forms, and who handles an operation.
#include "common/py.h"
#include "common/thread_state.h"
#include "trace/trace.h"

#include "call/bind_operation.h"

namespace anima {
namespace {

const char* const kTexts[kNameCount] = {"stage",   "shape",          "answers", "effects", "multiple_results",
                                        "partial", "linearize",      "jvp",     "bind",    "eager",
                                        "process", "aval",           "atom",    "source",  "names",
                                        "pair",    "process_divided"};

PyRef by_python(PyObject* trace, PyObject* primitive, const Given& given) {
  PyRef operands = operands_of(given), params = params_of(given);
  PyObject* call[] = {trace, primitive, operands.get(), params.get()};
  return PyRef::steal(checked(PyObject_VectorcallMethod(name_of(kProcess), call, 4, nullptr)));
}

}  // namespace

PyObject* name_of(Name name) {
  static PyObject* interned[kNameCount] = {};
  PyObject*& text = interned[name];
  if (text == nullptr) text = checked(PyUnicode_InternFromString(kTexts[name]));
  return text;
}

PyRef attribute(PyObject* object, Name name) {
  return PyRef::steal(checked(PyObject_GetAttr(object, name_of(name))));
}

bool has_several(PyObject* primitive) {
  const int several = PyObject_IsTrue(attribute(primitive, kMultiple).get());
  if (several < 0) throw PythonError();
  return several != 0;
}

Unpacked::Unpacked(PyObject* operands, PyObject* params) {
  PyRef items = tuple_of(operands);
  count_ = static_cast<size_t>(PyTuple_GET_SIZE(items.get()));
  if (!PyDict_Check(params))
    throw_python(PyExc_TypeError, "the parameters of an operation must be a dict, got %R", params);
  const Py_ssize_t named = PyDict_GET_SIZE(params);
  values_ = PyRef::steal(checked(PyTuple_New(PyTuple_GET_SIZE(items.get()) + named)));
  Py_ssize_t place = 0;
  for (; place < PyTuple_GET_SIZE(items.get()); place++)
    PyTuple_SET_ITEM(values_.get(), place, Py_NewRef(PyTuple_GET_ITEM(items.get(), place)));
  if (named == 0) return;
  names_ = PyRef::steal(checked(PyTuple_New(named)));
  PyObject *name, *value;
  for (Py_ssize_t at = 0, i = 0; PyDict_Next(params, &at, &name, &value); i++) {
    PyTuple_SET_ITEM(names_.get(), i, Py_NewRef(name));
    PyTuple_SET_ITEM(values_.get(), place++, Py_NewRef(value));
  }
}

PyRef operands_of(const Given& given) {
  PyRef operands = PyRef::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(given.count))));
  for (size_t i = 0; i < given.count; i++)
    PyTuple_SET_ITEM(operands.get(), static_cast<Py_ssize_t>(i), Py_NewRef(given.args[i]));
  return operands;
}

PyRef params_of(const Given& given) {
  PyRef params = PyRef::steal(checked(PyDict_New()));
  for (size_t i = 0; i < given.named(); i++) {
    PyObject* name = PyTuple_GET_ITEM(given.names, static_cast<Py_ssize_t>(i));
    if (PyDict_SetItem(params.get(), name, given.value(i)) < 0) throw PythonError();
  }
  return params;
}

PyRef list_of(const Avals& avals) {
  PyRef list = PyRef::steal(checked(PyList_New(static_cast<Py_ssize_t>(avals.size()))));
  for (size_t i = 0; i < avals.size(); i++)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), avals[i].new_ref());
  return list;
}

PyRef call_with(PyObject* callee, PyObject* const* first, size_t count, const Given& given) {
  SmallVector<PyObject*, 16> args;
  for (size_t i = 0; i < count; i++) args.push_back(first[i]);
  for (size_t i = 0; i < given.named(); i++) args.push_back(given.value(i));
  return PyRef::steal(checked(PyObject_Vectorcall(callee, args.data(), count, given.names)));
}

Unpacked staged_arguments(PyObject* rule, const Given& given) {
  PyRef operands = operands_of(given);
  PyObject* first[] = {operands.get()};
  PyRef pair = tuple_of(call_with(rule, first, 1, given).get());
  if (PyTuple_GET_SIZE(pair.get()) != 2)
    throw_python(PyExc_TypeError, "a rule `stage` must return (args, params)");
  return Unpacked(PyTuple_GET_ITEM(pair.get(), 0), PyTuple_GET_ITEM(pair.get(), 1));
}

PyObject* processed(PyObject* trace, PyObject* primitive, const Given& given) {
  const PyRef kept = PyRef::borrow(trace);  // what it runs may end it
  for (auto* process : {process_stage, process_tape, process_derivative}) {
    if (PyObject* result = process(trace, primitive, given)) return result;
  }
  return by_python(trace, primitive, given).release();
}

PyRef bound_under(PyObject* trace, PyObject* primitive, const Given& given) {
  Ambient ambient(trace);
  PyRef method = PyRef::steal(
      checked(PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(primitive)), name_of(kBind))));
  if (is_bind_operation(method.get())) {
    if (trace != Py_None) return PyRef::steal(processed(trace, primitive, given));
    return call_with(attribute(primitive, kEager).get(), given.args, given.count, given);
  }
  SmallVector<PyObject*, 16> args;
  args.push_back(primitive);
  for (size_t i = 0; i < given.count + given.named(); i++) args.push_back(given.args[i]);
  PyObject* bind = name_of(kBind);
  return PyRef::steal(checked(PyObject_VectorcallMethod(bind, args.data(), given.count + 1, given.names)));
}

Ambient::Ambient(PyObject* trace) : before_(exchange_trace(trace == Py_None ? nullptr : Py_NewRef(trace))) {}

Ambient::~Ambient() {
  PyObject* inner = exchange_trace(before_);
  Py_XDECREF(inner);
}

}  // namespace anima
