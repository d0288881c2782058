// What operations give: the answers of their shape rules, and along which axes results vary.
#include "common/py.h"
#include "common/thread_state.h"
#include "trace/trace.h"

namespace anima {
namespace {

constexpr Py_ssize_t kMostAnswers = 4096;  // of one operation

PyObject* align =
    nullptr;  // core.variance.aligned, once any type names an axis; owned for the life of the process
PyObject* results = nullptr;  // core.variance.of_results, likewise

PyRef asked(PyObject* primitive, const Avals& avals, const Given& given) {
  PyRef rule = attribute(primitive, kShape);
  SmallVector<PyObject*, 16> args;
  for (const PyRef& aval : avals) args.push_back(aval.get());
  for (size_t i = 0; i < given.named(); i++) args.push_back(given.value(i));
  return PyRef::steal(checked(PyObject_Vectorcall(rule.get(), args.data(), avals.size(), given.names)));
}

PyRef key_of(const Avals& avals, const Given& given) {
  const size_t named = given.named();
  PyRef key =
      PyRef::steal(checked(PyTuple_New(static_cast<Py_ssize_t>(avals.size() + named + (named > 0) + 1))));
  Py_ssize_t place = 0;
  for (const PyRef& aval : avals) PyTuple_SET_ITEM(key.get(), place++, aval.new_ref());
  for (size_t i = 0; i < named; i++) PyTuple_SET_ITEM(key.get(), place++, Py_NewRef(given.value(i)));
  if (named > 0) PyTuple_SET_ITEM(key.get(), place++, Py_NewRef(given.names));
  PyTuple_SET_ITEM(key.get(), place, checked(PyLong_FromLongLong(options_key())));
  return key;
}

}  // namespace

PyRef shapes_of(PyObject* primitive, const Avals& avals, const Given& given) {
  PyRef answers = attribute(primitive, kAnswers);
  if (!PyDict_Check(answers.get())) return asked(primitive, avals, given);
  PyRef key = key_of(avals, given);
  PyRef known = PyRef::borrow(PyDict_GetItemWithError(answers.get(), key.get()));
  if (known) return known;
  if (PyErr_Occurred()) {  // a parameter has no hash
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw PythonError();
    PyErr_Clear();
    return asked(primitive, avals, given);
  }
  PyRef found = asked(primitive, avals, given);
  if (PyDict_GET_SIZE(answers.get()) >= kMostAnswers) PyDict_Clear(answers.get());
  if (PyDict_SetItem(answers.get(), key.get(), found.get()) < 0) throw PythonError();
  return found;
}

bool variance_seen() { return align != nullptr; }

PyRef aligned(PyObject* primitive, const Avals& avals, const Given& given) {
  PyRef operands = operands_of(given), types = list_of(avals), params = params_of(given);
  PyObject* args[] = {primitive, operands.get(), types.get(), params.get()};
  PyRef found = PyRef::steal(checked(PyObject_Vectorcall(align, args, 4, nullptr)));
  return found.get() == Py_None ? PyRef() : found;
}

PyRef varying_results(PyObject* primitive, const Avals& avals, PyRef shapes) {
  PyRef types = list_of(avals);
  PyObject* args[] = {primitive, types.get(), shapes.get()};
  return PyRef::steal(checked(PyObject_Vectorcall(results, args, 3, nullptr)));
}

PyObject* set_variance(PyObject*, PyObject* args) {
  PyObject *first, *second;
  if (!PyArg_ParseTuple(args, "OO:set_variance", &first, &second)) return nullptr;
  align = Py_NewRef(first);
  results = Py_NewRef(second);
  Py_RETURN_NONE;
}

}  // namespace anima
