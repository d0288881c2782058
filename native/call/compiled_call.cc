// Invariant: an entry and its plan are owned while they are in use, so that caches may be cleared at any
// moment, by the function that is being called too.
#include "call/compiled_call.h"

#include <algorithm>
#include <new>

#include "call/boundary.h"
#include "call/cache.h"
#include "call/function_object.h"
#include "call/plan.h"
#include "common/recursion.h"
#include "common/thread_state.h"

namespace anima {

PyTypeObject* compiled_call_type = nullptr;  // owned for the life of the process

CallCounts call_counts;

namespace {

struct CallObject {
  FunctionObject base;
  PyObject* miss;
  PyObject* traced;
  PyObject* name;
  PyObject* spec;
  StaticRule rule;
  Cache cache;
  CallObject* previous;
  CallObject* next;
};

AllOf<CallObject> all_calls;

CallObject* as_call(PyObject* object) { return reinterpret_cast<CallObject*>(object); }

// handler(self, args, kwargs)
PyRef call_handler(PyObject* handler, CallObject* self, const Arguments& args) {
  RecursionGuard guard(" in a compiled call");
  PyRef positional = args.args(), keywords = args.kwargs();
  PyObject* stack[3] = {reinterpret_cast<PyObject*>(self), positional.get(), keywords.get()};
  return PyRef::steal(checked(PyObject_Vectorcall(handler, stack, 3, nullptr)));
}

// Calls `miss`; `plan` becomes the plan that it made, or null.
PyRef call_miss(CallObject* self, const Arguments& args, PyRef& plan) {
  call_counts.misses++;
  PyRef answer = call_handler(self->miss, self, args);
  if (!PyTuple_CheckExact(answer.get()) || PyTuple_GET_SIZE(answer.get()) != 2) {
    throw_python(PyExc_TypeError,
                 "the miss function of a CompiledCall must return (out, CallPlan or None), got %R",
                 answer.get());
  }
  PyObject* made = PyTuple_GET_ITEM(answer.get(), 1);
  if (made != Py_None && !is_plan(made)) {
    throw_python(PyExc_TypeError,
                 "the miss function of a CompiledCall must return a CallPlan or None, got %R", made);
  }
  if (made != Py_None) plan = PyRef::borrow(made);
  return PyRef::borrow(PyTuple_GET_ITEM(answer.get(), 0));
}

void check_plan(const PyRef& plan, const Leaves& leaves) {
  size_t wanted = as_plan(plan.get())->num_leaves;
  if (wanted == leaves.size()) return;
  throw_python(PyExc_ValueError, "the CallPlan that miss returned is for %zu leaves, the call has %zu",
               wanted, leaves.size());
}

// Runs the plan of a known signature; where that refuses, Python moves the arguments.
PyObject* run_entry(CallObject* self, const EntryRef& entry, const Arguments& args, const Leaves& leaves) {
  PyRef plan = entry->plan;
  Outputs outputs;
  if (run_plan(as_plan(plan.get()), leaves.data(), outputs)) {
    call_counts.hits++;
    return arrange_outputs(as_plan(plan.get()), outputs);
  }
  PyRef replacement;
  PyRef out = call_miss(self, args, replacement);
  if (replacement) {
    check_plan(replacement, leaves);
    entry->plan = std::move(replacement);
  }
  return out.release();
}

PyObject* run_miss(CallObject* self, const Signature& signature, const Arguments& args,
                   const Leaves& leaves) {
  EntryRef entry(new Entry(signature, leaves));
  uint64_t generation = self->cache.generation();
  PyRef out = call_miss(self, args, entry->plan);
  if (entry->plan) {
    check_plan(entry->plan, leaves);
    self->cache.insert(std::move(entry), generation);
  }
  return out.release();
}

PyObject* call(CallObject* self, const Arguments& args) {
  if (current_trace() != nullptr) return call_handler(self->traced, self, args).release();
  Leaves leaves;
  EntryRef entry = self->cache.latest();
  if (entry && entry->matches(args, leaves)) return run_entry(self, entry, args, leaves);
  leaves.clear();
  Signature signature;
  if (!sign(self->rule, args, entry.get(), signature, leaves)) {
    PyRef unused;
    return call_miss(self, args, unused).release();
  }
  entry = self->cache.find(signature.hash, signature);
  if (!entry) return run_miss(self, signature, args, leaves);
  self->cache.use(entry);
  return run_entry(self, entry, args, leaves);
}

PyObject* vectorcall(PyObject* callable, PyObject* const* args, size_t count, PyObject* names) {
  PyObject* result = guarded<>(static_cast<PyObject*>(nullptr), [&] {
    return call(as_call(callable), Arguments(args, static_cast<size_t>(PyVectorcall_NARGS(count)), names));
  });
  if (result == nullptr) shorten_traceback();
  return result;
}

// ---- construction ----

struct CallArguments {
  PyObject *fun = nullptr, *miss = nullptr, *traced = nullptr;
  PyObject *static_argnums = nullptr, *static_argnames = nullptr, *name = nullptr, *spec = Py_None;
  int flat = 0;
  Py_ssize_t cache_size = 4096;
};

void read_static_positions(PyObject* items, std::vector<size_t>& positions) {
  if (items == nullptr || items == Py_None) return;
  PyRef tuple = PyRef::steal(checked(PySequence_Tuple(items)));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple.get()); i++) {
    Py_ssize_t position = PyNumber_AsSsize_t(PyTuple_GET_ITEM(tuple.get(), i), PyExc_ValueError);
    if (position == -1 && PyErr_Occurred()) throw PythonError();
    if (position < 0) throw_python(PyExc_ValueError, "CompiledCall: `static_argnums` holds %zd", position);
    positions.push_back(static_cast<size_t>(position));
  }
  std::sort(positions.begin(), positions.end());
}

PyRef read_static_names(PyObject* items) {
  if (items == nullptr || items == Py_None) return PyRef::steal(checked(PyTuple_New(0)));
  PyRef tuple = PyRef::steal(checked(PySequence_Tuple(items)));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple.get()); i++) {
    if (!PyUnicode_Check(PyTuple_GET_ITEM(tuple.get(), i)) || PyUnicode_Check(items)) {
      throw_python(PyExc_TypeError, "CompiledCall: `static_argnames` must be a sequence of names, got %R",
                   items);
    }
  }
  return tuple;
}

PyRef make_call(PyTypeObject* type, const CallArguments& given) {
  StaticRule rule;
  read_static_positions(given.static_argnums, rule.positions);
  rule.names = read_static_names(given.static_argnames);
  rule.flat = given.flat != 0;
  PyRef name =
      given.name != nullptr ? PyRef::borrow(given.name) : PyRef::steal(checked(PyUnicode_FromString("")));
  PyRef made = PyRef::steal(checked(type->tp_alloc(type, 0)));
  CallObject* self = as_call(made.get());
  new (&self->rule) StaticRule(std::move(rule));
  new (&self->cache) Cache(static_cast<size_t>(given.cache_size));
  all_calls.add(self);
  self->base.vectorcall = vectorcall;
  self->base.fun = PyRef::borrow(given.fun).release();
  self->miss = PyRef::borrow(given.miss).release();
  self->traced = PyRef::borrow(given.traced).release();
  self->name = name.release();
  self->spec = PyRef::borrow(given.spec).release();
  return made;
}

PyObject* new_call(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"fun",  "miss", "traced",     "static_argnums", "static_argnames",
                                "flat", "name", "cache_size", "spec",           nullptr};
  CallArguments given;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$OOpUnO:CompiledCall", const_cast<char**>(names),
                                   &given.fun, &given.miss, &given.traced, &given.static_argnums,
                                   &given.static_argnames, &given.flat, &given.name, &given.cache_size,
                                   &given.spec)) {
    return nullptr;
  }
  return guarded<>(static_cast<PyObject*>(nullptr), [&] {
    if (!PyCallable_Check(given.miss) || !PyCallable_Check(given.traced)) {
      throw_python(PyExc_TypeError, "CompiledCall: `miss` and `traced` must be callable");
    }
    if (given.cache_size < 0) throw_python(PyExc_ValueError, "CompiledCall: `cache_size` is negative");
    return make_call(type, given).release();
  });
}

// ---- the life of the object ----

int traverse(PyObject* object, visitproc visit, void* arg) {
  CallObject* self = as_call(object);
  Py_VISIT(self->miss);
  Py_VISIT(self->traced);
  Py_VISIT(self->spec);
  int found = traverse_function(object, visit, arg);
  return found != 0 ? found : self->cache.traverse(visit, arg);
}

int clear(PyObject* object) {
  CallObject* self = as_call(object);
  replace_by_none(self->miss);
  replace_by_none(self->traced);
  replace_by_none(self->spec);
  self->cache.clear();
  return clear_function(object);
}

void release(PyObject* object) {
  CallObject* self = as_call(object);
  all_calls.remove(self);
  Py_CLEAR(self->miss);
  Py_CLEAR(self->traced);
  Py_CLEAR(self->name);
  Py_CLEAR(self->spec);
  self->cache.clear();
  self->cache.~Cache();
  self->rule.~StaticRule();
  release_function(object);
}

PyObject* repr(PyObject* object) { return PyUnicode_FromFormat("<CompiledCall %S>", as_call(object)->name); }

PyObject* method_cache_len(PyObject* object, PyObject*) {
  return PyLong_FromSize_t(as_call(object)->cache.size());
}

PyObject* method_clear_cache(PyObject* object, PyObject*) {
  return guarded<>(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    as_call(object)->cache.clear();
    Py_RETURN_NONE;
  });
}

PyMethodDef methods[] = {{"cache_len", method_cache_len, METH_NOARGS,
                          "cache_len($self)\n--\n\n"
                          "How many signatures have a plan."},
                         {"clear_cache", method_clear_cache, METH_NOARGS,
                          "clear_cache($self)\n--\n\n"
                          "Forgets every plan."},
                         kReduceByName,
                         {}};
PyMemberDef members[] = {
    {"fun", T_OBJECT, offsetof(FunctionObject, fun), READONLY, "The Python function."},
    {"miss", T_OBJECT, offsetof(CallObject, miss), READONLY, "What makes plans."},
    {"traced", T_OBJECT, offsetof(CallObject, traced), READONLY, "What handles calls in a trace."},
    {"name", T_OBJECT, offsetof(CallObject, name), READONLY, "The name for messages."},
    {"spec", T_OBJECT, offsetof(CallObject, spec), 0, "What Python attached."},
    kVectorcallMember,
    kDictMember,
    kWeakrefsMember,
    {}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>(
                    "CompiledCall(fun, miss, traced, *, static_argnums=(), static_argnames=(), flat=False, "
                    "name='', cache_size=4096, spec=None)\n--\n\n"
                    "Calls the plan that fits its arguments; miss(self, args, kwargs) -> (out, CallPlan or "
                    "None) makes one, traced(self, args, kwargs) handles calls while a trace is ambient.")},
    {Py_tp_new, reinterpret_cast<void*>(new_call)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc_function<release>)},
    {Py_tp_descr_get, reinterpret_cast<void*>(bind_function)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, function_properties},
    {0, nullptr}};

PyType_Spec spec = {"anima._native.CompiledCall", sizeof(CallObject), 0, kFunctionFlags | Py_TPFLAGS_BASETYPE,
                    slots};

}  // namespace

void create_compiled_call_type() {
  compiled_call_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
}

void clear_all_caches() {
  std::vector<EntryRef> gone;  // released when no list is walked any more: that may run Python code
  for (CallObject* self = all_calls.first(); self != nullptr; self = self->next) {
    for (EntryRef& entry : self->cache.clear()) gone.push_back(std::move(entry));
  }
}

}  // namespace anima
