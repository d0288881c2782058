// Operations as traces handle them: what is done for each equation of each program, without Python frames.
//
// Invariant: the Python modules that declare the classes of traces hand them over once (`core.aval`,
// `core.source`, `interpreters.stage`, `interpreters.linearize`). What is unusual, such as operations with
// programs inside, Python does.
#pragma once

#include <Python.h>

#include <cstddef>

#include "common/py.h"
#include "common/small_vector.h"

namespace anima {

// The arguments of an operation: operands, then the values of parameters, whose names may be null for none.
// Borrowed.
struct Given {
  PyObject* const* args;
  size_t count;
  PyObject* names;

  size_t named() const { return names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names)); }
  PyObject* value(size_t i) const { return args[count + i]; }
};

// The same from a sequence of operands and a dict of parameters.
class Unpacked {
 public:
  Unpacked(PyObject* operands, PyObject* params);
  Given given() const {
    return {reinterpret_cast<PyTupleObject*>(values_.get())->ob_item, count_, names_.get()};
  }

 private:
  PyRef values_, names_;
  size_t count_ = 0;
};

using Avals = SmallVector<PyRef, 8>;

PyRef operands_of(const Given& given);  // as a tuple
PyRef params_of(const Given& given);    // as a dict of their own
PyRef list_of(const Avals& avals);
// Names of attributes and methods, interned.
enum Name {
  kStage,
  kShape,
  kAnswers,
  kEffects,
  kMultiple,
  kPartial,
  kLinearize,
  kJvp,
  kBind,
  kEager,
  kProcess,
  kAval,
  kAtom,
  kSource,
  kNames,
  kPair,
  kDivided,
  kNameCount
};
PyRef attribute(PyObject* object, Name name);
PyObject* name_of(Name name);           // borrowed
bool has_several(PyObject* primitive);  // whether an operation returns a list
// `callee(*first, *operands, **params)`, with something else in the place of the operands.
PyRef call_with(PyObject* callee, PyObject* const* first, size_t count, const Given& given);

// What the rule `stage` of an operation makes of its arguments.
Unpacked staged_arguments(PyObject* rule, const Given& given);

// The result of an operation under `trace`. New reference.
PyObject* processed(PyObject* trace, PyObject* primitive, const Given& given);
// `primitive.bind(...)` under `trace`, which may be None.
PyRef bound_under(PyObject* trace, PyObject* primitive, const Given& given);

// Makes a trace, or None, ambient for a scope.
class Ambient {
 public:
  explicit Ambient(PyObject* trace);
  ~Ambient();
  Ambient(const Ambient&) = delete;
  Ambient& operator=(const Ambient&) = delete;

 private:
  PyObject* before_;
};

// The aval of an operation's result, or the list of avals: what its shape rule says, which is asked once for
// the same avals, parameters and options if the rule may be.
PyRef shapes_of(PyObject* primitive, const Avals& avals, const Given& given);
// Where in the user's program we are: a `core.source.Position`, or None.
PyRef current_position(PyObject* names);

// Whether `variance.seen`, and what it then does to operands and results: `core.variance` has the functions.
bool variance_seen();
// The operands as they have to vary, or null if they do.
PyRef aligned(PyObject* primitive, const Avals& avals, const Given& given);
PyRef varying_results(PyObject* primitive, const Avals& avals, PyRef shapes);

// Each for one class of traces; null for those of others.
PyObject* process_stage(PyObject* trace, PyObject* primitive, const Given& given);
PyObject* process_tape(PyObject* trace, PyObject* primitive, const Given& given);
PyObject* process_derivative(PyObject* trace, PyObject* primitive, const Given& given);
bool is_tape_tracer(PyObject* value);
PyObject* record_on_tape(PyObject* tape, PyObject* primitive, const Given& given);
// The aval of a tracer of a jaxpr that is being recorded by `trace`, borrowed, or null for other values.
PyObject* staged_aval(PyObject* value, PyObject* trace);

// The ordinary call of a class, for a vectorcall that leaves unusual arguments to it. Null with an exception
// set if it fails.
PyObject* call_slowly(PyObject* type, PyObject* const* args, size_t count, PyObject* names);

PyObject* create_shaped_fields_type();  // once; borrowed
PyObject* set_shaped_array(PyObject* module, PyObject* args);
PyObject* made_by_position(PyObject* module, PyObject* const* args, Py_ssize_t count);
PyObject* set_positions(PyObject* module, PyObject* args);
PyObject* set_variance(PyObject* module, PyObject* args);
PyObject* set_stage_classes(PyObject* module, PyObject* args);
PyObject* set_tape_classes(PyObject* module, PyObject* args);
PyObject* set_jvp_classes(PyObject* module, PyObject* args);
PyObject* set_linearize_classes(PyObject* module, PyObject* args);

}  // namespace anima
