// A jaxpr being recorded: `interpreters.stage.StageTrace` has what is not done for each equation.
#include "common/py.h"
#include "trace/slots.h"
#include "trace/trace.h"

namespace anima {
namespace {

enum { kEquations, kPosition, kScopes };  // of a StageTrace
enum { kTrace, kItsAtom, kType };         // of a StagedTracer

SlotClass<3> stages;             // StageTrace: eqns, source, names
SlotClass<3> tracers;            // StagedTracer: _trace, atom, aval
SlotClass<1> vars;               // Var: aval
SlotClass<6> eqns;               // Eqn
PyObject* no_effects = nullptr;  // owned for the life of the process

struct Atoms {
  PyRef list;
  Avals avals;
};

void read_atoms(PyObject* trace, PyObject* const* args, size_t count, Atoms& atoms) {
  atoms.list = PyRef::steal(checked(PyList_New(static_cast<Py_ssize_t>(count))));
  atoms.avals.clear();
  for (size_t i = 0; i < count; i++) {
    PyRef atom;
    if (PyObject* aval = staged_aval(args[i], trace)) {
      atom = PyRef::borrow(tracers.get(args[i], kItsAtom));
      atoms.avals.push_back(PyRef::borrow(aval));
    } else {
      PyObject* call[] = {trace, args[i]};
      atom = PyRef::steal(checked(PyObject_VectorcallMethod(name_of(kAtom), call, 2, nullptr)));
      atoms.avals.push_back(attribute(atom.get(), kAval));
    }
    PyList_SET_ITEM(atoms.list.get(), static_cast<Py_ssize_t>(i), atom.release());
  }
}

PyRef effects_of(PyObject* primitive, const Avals& avals, const Given& given) {
  PyRef rule = attribute(primitive, kEffects);
  if (rule.get() == Py_None) return PyRef::borrow(no_effects);
  SmallVector<PyObject*, 8> types;
  for (const PyRef& aval : avals) types.push_back(aval.get());
  return call_with(rule.get(), types.data(), types.size(), given);
}

PyRef position_in(PyObject* trace) {
  PyObject* position = stages.get(trace, kPosition);
  if (position != Py_None) return PyRef::borrow(position);
  return current_position(stages.get(trace, kScopes));
}

PyRef tracer_of(PyObject* trace, const PyRef& var, const PyRef& aval) {
  return tracers.make(PyRef::borrow(trace), var, aval);
}

PyObject* record(PyObject* trace, PyObject* primitive, const Given& given) {
  Atoms atoms;
  read_atoms(trace, given.args, given.count, atoms);
  if (variance_seen()) {
    if (PyRef moved = aligned(primitive, atoms.avals, given)) {
      PyRef items = tuple_of(moved.get());
      const auto count = static_cast<size_t>(PyTuple_GET_SIZE(items.get()));
      read_atoms(trace, reinterpret_cast<PyTupleObject*>(items.get())->ob_item, count, atoms);
    }
  }
  PyRef shapes = shapes_of(primitive, atoms.avals, given);
  if (variance_seen()) shapes = varying_results(primitive, atoms.avals, std::move(shapes));
  PyRef effects = effects_of(primitive, atoms.avals, given);
  PyRef position = position_in(trace);
  const bool several = has_several(primitive);
  PyRef types = several ? tuple_of(shapes.get()) : PyRef();
  const Py_ssize_t count = several ? PyTuple_GET_SIZE(types.get()) : 1;
  PyRef outvars = PyRef::steal(checked(PyList_New(count)));
  PyRef results = PyRef::steal(several ? checked(PyList_New(count)) : nullptr);
  for (Py_ssize_t i = 0; i < count; i++) {
    PyRef aval = several ? PyRef::borrow(PyTuple_GET_ITEM(types.get(), i)) : shapes;
    PyRef var = vars.make(aval);
    PyRef tracer = tracer_of(trace, var, aval);
    PyList_SET_ITEM(outvars.get(), i, var.release());
    if (!several) {
      results = std::move(tracer);
    } else {
      PyList_SET_ITEM(results.get(), i, tracer.release());
    }
  }
  PyRef eqn = eqns.make(PyRef::borrow(primitive), std::move(atoms.list), std::move(outvars), params_of(given),
                        std::move(effects), std::move(position));
  if (PyList_Append(stages.get(trace, kEquations), eqn.get()) < 0) throw PythonError();
  return results.release();
}

}  // namespace

PyObject* process_stage(PyObject* trace, PyObject* primitive, const Given& given) {
  if (!stages.is_exactly(trace)) return nullptr;
  PyRef stage = attribute(primitive, kStage);
  if (stage.get() == Py_None) return record(trace, primitive, given);
  const Unpacked staged = staged_arguments(stage.get(), given);
  return record(trace, primitive, staged.given());
}

PyObject* staged_aval(PyObject* value, PyObject* trace) {
  return tracers.is_exactly(value) && tracers.peek(value, kTrace) == trace ? tracers.get(value, kType)
                                                                           : nullptr;
}

PyObject* set_stage_classes(PyObject*, PyObject* args) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *trace, *tracer, *var, *eqn, *effects;
    if (!PyArg_ParseTuple(args, "OOOOO:set_stage_classes", &trace, &tracer, &var, &eqn, &effects))
      throw PythonError();
    stages.adopt(trace, {"eqns", "source", "names"});
    tracers.adopt(tracer, {"_trace", "atom", "aval"});
    vars.adopt(var, {"aval"});
    eqns.adopt(eqn, {"primitive", "invars", "outvars", "params", "effects", "source"});
    no_effects = Py_NewRef(effects);
    Py_RETURN_NONE;
  });
}

}  // namespace anima
