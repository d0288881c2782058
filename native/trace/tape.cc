// Tapes: `interpreters.linearize` says what they are.
#include "common/py.h"
#include "trace/slots.h"
#include "trace/trace.h"

namespace anima {
namespace {

enum { kParent, kEquations, kStaging };  // of a TapeTrace
enum { kTrace, kType };                  // of a TapeTracer

SlotClass<3> tapes;     // TapeTrace: parent, eqns, staging
SlotClass<2> tangents;  // TapeTracer: _trace, aval
SlotClass<5> eqns;      // TapeEqn
// From a value of an enclosing trace and the tape to the value's aval. Owned for the life of the process.
PyObject* outer_aval = nullptr;

bool on_tape(PyObject* value, PyObject* tape) {
  return tangents.is_exactly(value) && tangents.peek(value, kTrace) == tape;
}

void read_avals(PyObject* tape, PyObject* const* args, size_t count, Avals& avals) {
  avals.clear();
  PyObject* parent = tapes.get(tape, kParent);
  for (size_t i = 0; i < count; i++) {
    if (on_tape(args[i], tape)) {
      avals.push_back(PyRef::borrow(tangents.get(args[i], kType)));
    } else if (PyObject* aval = staged_aval(args[i], parent)) {
      avals.push_back(PyRef::borrow(aval));
    } else {
      PyObject* call[] = {args[i], tape};
      avals.push_back(PyRef::steal(checked(PyObject_Vectorcall(outer_aval, call, 2, nullptr))));
    }
  }
}

PyRef tangent_of(PyObject* tape, PyRef aval) { return tangents.make(PyRef::borrow(tape), std::move(aval)); }

// The results of an operation that is put on the tape: a tracer, or a list of them.
PyRef put_on(PyObject* tape, PyObject* primitive, PyRef operands, PyRef params, PyRef shapes) {
  const bool several = has_several(primitive);
  PyRef types = several ? tuple_of(shapes.get()) : PyRef();
  const Py_ssize_t count = several ? PyTuple_GET_SIZE(types.get()) : 1;
  PyRef outs = PyRef::steal(checked(PyList_New(count)));
  for (Py_ssize_t i = 0; i < count; i++) {
    PyRef aval = several ? PyRef::borrow(PyTuple_GET_ITEM(types.get(), i)) : shapes;
    PyList_SET_ITEM(outs.get(), i, tangent_of(tape, std::move(aval)).release());
  }
  PyRef result = several ? PyRef::steal(checked(PyList_GetSlice(outs.get(), 0, count)))
                         : PyRef::borrow(PyList_GET_ITEM(outs.get(), 0));
  PyObject* staging = tapes.get(tape, kStaging);
  PyRef position = staging == Py_None ? PyRef::borrow(Py_None) : attribute(staging, kSource);
  PyRef eqn = eqns.make(PyRef::borrow(primitive), std::move(operands), std::move(outs), std::move(params),
                        std::move(position));
  if (PyList_Append(tapes.get(tape, kEquations), eqn.get()) < 0) throw PythonError();
  return result;
}

PyRef record(PyObject* tape, PyObject* primitive, const Given& given) {
  Avals avals;
  read_avals(tape, given.args, given.count, avals);
  PyRef operands;
  if (variance_seen()) {
    if (PyRef moved = aligned(primitive, avals, given)) {
      operands = tuple_of(moved.get());
      const auto count = static_cast<size_t>(PyTuple_GET_SIZE(operands.get()));
      read_avals(tape, reinterpret_cast<PyTupleObject*>(operands.get())->ob_item, count, avals);
    }
  }
  PyRef shapes = shapes_of(primitive, avals, given);
  if (variance_seen()) shapes = varying_results(primitive, avals, std::move(shapes));
  if (!operands) operands = operands_of(given);
  return put_on(tape, primitive, std::move(operands), params_of(given), std::move(shapes));
}

}  // namespace

bool is_tape_tracer(PyObject* value) { return tangents.is_exactly(value); }

PyObject* record_on_tape(PyObject* tape, PyObject* primitive, const Given& given) {
  if (!tapes.is_exactly(tape)) throw_python(PyExc_TypeError, "record_on_tape: %R is no tape", tape);
  PyRef stage = attribute(primitive, kStage);
  if (stage.get() == Py_None) return record(tape, primitive, given).release();
  const Unpacked staged = staged_arguments(stage.get(), given);
  return record(tape, primitive, staged.given()).release();
}

PyObject* process_tape(PyObject* tape, PyObject* primitive, const Given& given) {
  if (!tapes.is_exactly(tape)) return nullptr;
  for (size_t i = 0; i < given.count; i++) {
    if (!on_tape(given.args[i], tape)) continue;
    if (attribute(primitive, kPartial).get() == Py_None) return record_on_tape(tape, primitive, given);
    PyRef operands = operands_of(given), params = params_of(given);
    PyObject* call[] = {tape, primitive, operands.get(), params.get()};
    return checked(PyObject_VectorcallMethod(name_of(kDivided), call, 4, nullptr));
  }
  return bound_under(tapes.get(tape, kParent), primitive, given).release();
}

PyObject* set_tape_classes(PyObject*, PyObject* args) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *trace, *tracer, *eqn, *aval;
    if (!PyArg_ParseTuple(args, "OOOO:set_tape_classes", &trace, &tracer, &eqn, &aval)) throw PythonError();
    tapes.adopt(trace, {"parent", "eqns", "staging"});
    tangents.adopt(tracer, {"_trace", "aval"});
    eqns.adopt(eqn, {"primitive", "args", "outs", "params", "source"});
    outer_aval = Py_NewRef(aval);
    Py_RETURN_NONE;
  });
}

}  // namespace anima
