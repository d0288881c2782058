// Adds to the module what traces do natively.
#include "bindings.h"
#include "common/py.h"
#include "trace/trace.h"

namespace anima {
namespace {

PyObject* position(PyObject*, PyObject* names) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* { return current_position(names).release(); });
}

using Handler = PyObject* (*)(PyObject*, PyObject*, const Given&);

PyObject* handled(Handler handler, PyObject* args, const char* format) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    PyObject *trace, *primitive, *operands, *params;
    if (!PyArg_ParseTuple(args, format, &trace, &primitive, &operands, &params)) throw PythonError();
    const Unpacked unpacked(operands, params);
    return handler(trace, primitive, unpacked.given());
  });
}

PyObject* native_process(PyObject* trace, PyObject* primitive, const Given& given) {
  for (Handler process : {process_stage, process_tape, process_derivative}) {
    if (PyObject* result = process(trace, primitive, given)) return result;
  }
  throw_python(PyExc_TypeError, "process_natively: %R is of no class of traces that was handed over", trace);
}

PyObject* process_natively(PyObject*, PyObject* args) {
  return handled(native_process, args, "OOOO:process_natively");
}

PyObject* record_tape(PyObject*, PyObject* args) {
  return handled(record_on_tape, args, "OOOO:record_on_tape");
}

PyMethodDef functions[] = {
    {"set_shaped_array", set_shaped_array, METH_VARARGS,
     "set_shaped_array($module, cls, as_dtype, no_axes, /)\n--\n\n"
     "Hands over the class of arrays' avals, what makes dtypes, and the default of `varying`."},
    {"made_by_position", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(made_by_position)),
     METH_FASTCALL,
     "made_by_position($module, cls, /, *slots)\n--\n\n"
     "Has calls of a class with an argument for each of these slots set them, as its `__init__` does."},
    {"set_positions", set_positions, METH_VARARGS,
     "set_positions($module, cls, internal, is_internal, /)\n--\n\n"
     "Hands over the class of positions, and which files are not the user's."},
    {"current_position", position, METH_O,
     "current_position($module, names, /)\n--\n\n"
     "The position of the innermost frame of the user's, inside scopes of these names, or None."},
    {"set_variance", set_variance, METH_VARARGS,
     "set_variance($module, aligned, of_results, /)\n--\n\n"
     "From now on, what is recorded looks at the axes along which values vary."},
    {"set_stage_classes", set_stage_classes, METH_VARARGS,
     "set_stage_classes($module, trace, tracer, var, eqn, no_effects, /)\n--\n\nHands over the classes of "
     "staging."},
    {"set_tape_classes", set_tape_classes, METH_VARARGS,
     "set_tape_classes($module, trace, tracer, eqn, outer_aval, /)\n--\n\nHands over the classes of tapes."},
    {"set_jvp_classes", set_jvp_classes, METH_VARARGS,
     "set_jvp_classes($module, trace, tracer, zero, zero_of, /)\n--\n\n"
     "Hands over the classes of forward differentiation."},
    {"set_linearize_classes", set_linearize_classes, METH_VARARGS,
     "set_linearize_classes($module, trace, tracer, /)\n--\n\n"
     "Hands over the classes of linearisation."},
    {"process_natively", process_natively, METH_VARARGS,
     "process_natively($module, trace, primitive, args, params, /)\n--\n\n"
     "The result of an operation under a trace of a class that was handed over."},
    {"record_on_tape", record_tape, METH_VARARGS,
     "record_on_tape($module, tape, primitive, args, params, /)\n--\n\n"
     "Puts an operation on a tape; its results are tangents."},
    {}};

}  // namespace

void bind_trace(nanobind::module_& m) {
  if (PyModule_AddObjectRef(m.ptr(), "ShapedFields", create_shaped_fields_type()) != 0 ||
      PyModule_AddFunctions(m.ptr(), functions) != 0) {
    throw PythonError();
  }
}

}  // namespace anima
