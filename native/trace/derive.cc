// Differentiation: `interpreters.jvp` and `interpreters.linearize` say what their traces are.
#include <algorithm>

#include "common/py.h"
#include "trace/slots.h"
#include "trace/trace.h"

namespace anima {
namespace {

// Of a trace: the enclosing one, the one in which rules run, and what knows the position of the user's
// operation.
enum { kOuter, kInner, kAround };
// Of a tracer.
enum { kItsTrace, kPrimal, kTangent };

// The classes of forward differentiation, or those of linearisation.
struct Differentiation {
  SlotClass<3> traces;
  SlotClass<3> duals;
  bool onto_tape;  // tangents are on a tape, and operations may have a rule `linearize`
};

Differentiation forward, linearisation;
PyObject* zero_of = nullptr;  // the symbolic zero of a value; these two: owned for the life of the process
PyTypeObject* zero_type = nullptr;  // Zero

// Gives the equations that a rule makes the position of the user's operation, which is looked up once.
class Placed {
 public:
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;
  explicit Placed(PyObject* staging) {
    if (staging == Py_None) return;
    before_ = attribute(staging, kSource);
    if (before_.get() == Py_None) {
      PyRef names = attribute(staging, kNames);
      PyRef position = current_position(names.get());
      if (PyObject_SetAttr(staging, name_of(kSource), position.get()) < 0) throw PythonError();
    }
    staging_ = PyRef::borrow(staging);
  }
  ~Placed() {
    if (!staging_) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyObject_SetAttr(staging_.get(), name_of(kSource), before_.get()) < 0) PyErr_Clear();
    PyErr_Restore(type, value, traceback);
  }

 private:
  PyRef staging_, before_;
};

// A primal value with its tangent, or the value alone where that is zero.
PyRef paired(const Differentiation& how, PyObject* trace, PyObject* primal, PyObject* tangent) {
  if (Py_IS_TYPE(tangent, zero_type)) return PyRef::borrow(primal);
  if (!variance_seen() && (!how.onto_tape || is_tape_tracer(tangent))) {
    return how.duals.make(PyRef::borrow(trace), PyRef::borrow(primal), PyRef::borrow(tangent));
  }
  PyObject* call[] = {trace, primal, tangent};
  return PyRef::steal(checked(PyObject_VectorcallMethod(name_of(kPair), call, 3, nullptr)));
}

PyRef paired_results(const Differentiation& how, PyObject* trace, PyObject* primitive, PyObject* both) {
  PyRef pair = tuple_of(both);
  if (PyTuple_GET_SIZE(pair.get()) != 2) {
    throw_python(PyExc_TypeError, "the derivative rule of '%S' must return a pair of results and tangents",
                 primitive);
  }
  PyObject *primals = PyTuple_GET_ITEM(pair.get(), 0), *found = PyTuple_GET_ITEM(pair.get(), 1);
  if (!has_several(primitive)) return paired(how, trace, primals, found);
  PyRef outs = tuple_of(primals), tangents_of_outs = tuple_of(found);
  const Py_ssize_t count = std::min(PyTuple_GET_SIZE(outs.get()), PyTuple_GET_SIZE(tangents_of_outs.get()));
  PyRef results = PyRef::steal(checked(PyList_New(count)));
  for (Py_ssize_t i = 0; i < count; i++) {
    PyRef one =
        paired(how, trace, PyTuple_GET_ITEM(outs.get(), i), PyTuple_GET_ITEM(tangents_of_outs.get(), i));
    PyList_SET_ITEM(results.get(), i, one.release());
  }
  return results;
}

PyRef list_from(const PyRef* items, size_t count) {
  PyRef list = PyRef::steal(checked(PyList_New(static_cast<Py_ssize_t>(count))));
  for (size_t i = 0; i < count; i++)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), items[i].new_ref());
  return list;
}

PyRef derived(const Differentiation& how, PyObject* trace, PyObject* primitive, const Given& given,
              const Avals& primals, Avals& slopes) {
  for (size_t i = 0; i < given.count; i++) {
    if (!slopes[i]) slopes[i] = PyRef::steal(checked(PyObject_CallOneArg(zero_of, primals[i].get())));
  }
  PyRef first = list_from(primals.begin(), primals.size()), second = list_from(slopes.begin(), slopes.size());
  PyRef rule = how.onto_tape ? attribute(primitive, kLinearize) : PyRef();
  if (!rule || rule.get() == Py_None) rule = attribute(primitive, kJvp);
  PyObject* operands[] = {first.get(), second.get()};
  Placed placed(how.traces.get(trace, kAround));
  Ambient ambient(how.traces.get(trace, kInner));
  return call_with(rule.get(), operands, 2, given);
}

PyObject* process(const Differentiation& how, PyObject* trace, PyObject* primitive, const Given& given) {
  Avals primals, slopes;
  bool active = false;
  for (size_t i = 0; i < given.count; i++) {
    PyObject* arg = given.args[i];
    const bool dual = how.duals.is_exactly(arg) && how.duals.peek(arg, kItsTrace) == trace;
    primals.push_back(PyRef::borrow(dual ? how.duals.get(arg, kPrimal) : arg));
    slopes.push_back(dual ? PyRef::borrow(how.duals.get(arg, kTangent)) : PyRef());
    active = active || dual;
  }
  if (!active) return bound_under(how.traces.get(trace, kOuter), primitive, given).release();
  PyRef both = derived(how, trace, primitive, given, primals, slopes);
  return paired_results(how, trace, primitive, both.get()).release();
}

}  // namespace

PyObject* process_derivative(PyObject* trace, PyObject* primitive, const Given& given) {
  if (linearisation.traces.is_exactly(trace)) return process(linearisation, trace, primitive, given);
  if (forward.traces.is_exactly(trace)) return process(forward, trace, primitive, given);
  return nullptr;
}

PyObject* set_jvp_classes(PyObject*, PyObject* args) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *trace, *tracer, *zero, *zeros;
    if (!PyArg_ParseTuple(args, "OOO!O:set_jvp_classes", &trace, &tracer, &PyType_Type, &zero, &zeros))
      throw PythonError();
    forward.traces.adopt(trace, {"parent", "parent", "staging"});
    forward.duals.adopt(tracer, {"_trace", "primal", "tangent"});
    forward.onto_tape = false;
    zero_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(zero));
    zero_of = Py_NewRef(zeros);
    Py_RETURN_NONE;
  });
}

PyObject* set_linearize_classes(PyObject*, PyObject* args) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *trace, *tracer;
    if (!PyArg_ParseTuple(args, "OO:set_linearize_classes", &trace, &tracer)) throw PythonError();
    linearisation.traces.adopt(trace, {"parent", "tape", "staging"});
    linearisation.duals.adopt(tracer, {"_trace", "primal", "tangent"});
    linearisation.onto_tape = true;
    Py_RETURN_NONE;
  });
}

}  // namespace anima
