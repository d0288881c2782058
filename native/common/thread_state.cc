#include "common/thread_state.h"

#include <nanobind/nanobind.h>

#include <atomic>
#include <utility>

#include "bindings.h"
#include "common/deferred.h"
#include "common/py.h"

namespace anima {
namespace {

constexpr int64_t kNoKey = -1;
constexpr int kInherit = -1;

// Plain data, so that reading it needs no check whether a constructor ran.
struct ThreadState {
  PyObject* trace;  // owned
  int64_t options_key;
  int x64;
  int guarded;
};
thread_local ThreadState state = {nullptr, kNoKey, kInherit, kInherit};

std::atomic<int64_t> default_options_key{0};
std::atomic<bool> default_x64{false};
std::atomic<bool> default_guarded{false};

// Gives the trace back when the thread ends, which may be after it has given up the GIL for good.
struct TraceKeeper {
  bool armed = false;
  ~TraceKeeper() {
    if (PyObject* trace = std::exchange(state.trace, nullptr)) defer_decref(trace);
  }
};
thread_local TraceKeeper keeper;

PyObject* get_trace(PyObject*, PyObject*) {
  PyObject* trace = state.trace != nullptr ? state.trace : Py_None;
  Py_INCREF(trace);
  return trace;
}

PyObject* set_trace(PyObject*, PyObject* trace) {
  PyObject* previous = exchange_trace(trace == Py_None ? nullptr : Py_NewRef(trace));
  if (previous != nullptr) return previous;
  Py_RETURN_NONE;
}

int64_t integer(PyObject* value, const char* function) {
  if (!PyLong_Check(value)) {
    throw_python(PyExc_TypeError, "%s: expected an int, got %.200s", function, Py_TYPE(value)->tp_name);
  }
  int64_t number = PyLong_AsLongLong(value);
  if (number == -1 && PyErr_Occurred()) throw PythonError();
  return number;
}

PyObject* get_options_key(PyObject*, PyObject*) { return PyLong_FromLongLong(options_key()); }

PyObject* set_options_key(PyObject*, PyObject* value) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    int64_t key = integer(value, "set_options_key");
    if (key < 0) throw_python(PyExc_ValueError, "set_options_key: a key must not be negative, got %R", value);
    default_options_key.store(key, std::memory_order_relaxed);
    Py_RETURN_NONE;
  });
}

PyObject* swap_thread_options_key(PyObject*, PyObject* value) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    int64_t key = integer(value, "swap_thread_options_key");
    if (key < kNoKey) {
      throw_python(PyExc_ValueError, "swap_thread_options_key: expected a key or -1 for none, got %R", value);
    }
    return PyLong_FromLongLong(std::exchange(state.options_key, key));
  });
}

PyObject* set_switch(std::atomic<bool>& process, PyObject* value) {
  int enabled = PyObject_IsTrue(value);
  if (enabled < 0) return nullptr;
  process.store(enabled != 0, std::memory_order_relaxed);
  Py_RETURN_NONE;
}

PyObject* swap_switch(int ThreadState::* which, PyObject* value, const char* function) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    int64_t choice = integer(value, function);
    if (choice < kInherit || choice > 1) {
      throw_python(PyExc_ValueError, "%s: expected -1 (inherit), 0 or 1, got %R", function, value);
    }
    return PyLong_FromLong(std::exchange(state.*which, static_cast<int>(choice)));
  });
}

PyObject* set_x64(PyObject*, PyObject* value) { return set_switch(default_x64, value); }

PyObject* get_x64(PyObject*, PyObject*) { return PyBool_FromLong(x64_enabled()); }

PyObject* swap_thread_x64(PyObject*, PyObject* value) {
  return swap_switch(&ThreadState::x64, value, "swap_thread_x64");
}

PyObject* set_transfers_guarded(PyObject*, PyObject* value) { return set_switch(default_guarded, value); }

PyObject* get_transfers_guarded(PyObject*, PyObject*) { return PyBool_FromLong(transfers_guarded()); }

PyObject* swap_thread_guarded(PyObject*, PyObject* value) {
  return swap_switch(&ThreadState::guarded, value, "swap_thread_guarded");
}

PyMethodDef functions[] = {
    {"get_trace", get_trace, METH_NOARGS,
     "get_trace($module)\n--\n\n"
     "The ambient trace of this thread, or None."},
    {"set_trace", set_trace, METH_O,
     "set_trace($module, trace, /)\n--\n\n"
     "Make `trace` (or None) ambient in this thread; returns the previous one."},
    {"options_key", get_options_key, METH_NOARGS,
     "options_key($module)\n--\n\n"
     "The key of the options in force in this thread."},
    {"set_options_key", set_options_key, METH_O,
     "set_options_key($module, key, /)\n--\n\n"
     "Set the key of threads that have none of their own."},
    {"swap_thread_options_key", swap_thread_options_key, METH_O,
     "swap_thread_options_key($module, key, /)\n--\n\n"
     "Set this thread's key (-1: use the process's); returns the previous one."},
    {"x64_enabled", get_x64, METH_NOARGS,
     "x64_enabled($module)\n--\n\n"
     "Whether 64-bit types are on in this thread."},
    {"set_x64", set_x64, METH_O,
     "set_x64($module, enabled, /)\n--\n\n"
     "Switch 64-bit types for threads that have no setting of their own."},
    {"swap_thread_x64", swap_thread_x64, METH_O,
     "swap_thread_x64($module, choice, /)\n--\n\n"
     "Set this thread's 64-bit switch (-1: use the process's); returns the previous one."},
    {"transfers_guarded", get_transfers_guarded, METH_NOARGS,
     "transfers_guarded($module)\n--\n\n"
     "Whether a guard in this thread wants to know of transfers between host and devices."},
    {"set_transfers_guarded", set_transfers_guarded, METH_O,
     "set_transfers_guarded($module, guarded, /)\n--\n\n"
     "Set whether there are guards in threads that have no setting of their own."},
    {"swap_thread_guarded", swap_thread_guarded, METH_O,
     "swap_thread_guarded($module, choice, /)\n--\n\n"
     "Set whether there are guards in this thread (-1: as in the process); returns the previous one."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* current_trace() { return state.trace; }

PyObject* exchange_trace(PyObject* trace) {
  if (trace != nullptr) keeper.armed = true;  // the first use in a thread arranges for its destructor to run
  return std::exchange(state.trace, trace);
}

int64_t options_key() {
  return state.options_key != kNoKey ? state.options_key
                                     : default_options_key.load(std::memory_order_relaxed);
}

bool x64_enabled() {
  return state.x64 != kInherit ? state.x64 != 0 : default_x64.load(std::memory_order_relaxed);
}

bool transfers_guarded() {
  return state.guarded != kInherit ? state.guarded != 0 : default_guarded.load(std::memory_order_relaxed);
}

void bind_thread_state(nanobind::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), functions) < 0) throw PythonError();
}

}  // namespace anima
