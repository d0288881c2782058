// Per-thread state that decides how a call is handled: the ambient trace and the active options.
//
// Invariant: a thread that has set nothing of its own sees the process's defaults and no trace.
#pragma once

#include <Python.h>

#include <cstdint>

namespace anima {

// The ambient trace of this thread (borrowed), or nullptr when operations run eagerly.
PyObject* current_trace();
// Makes a trace ambient, or none, and returns the one before; both references are owned, or null.
PyObject* exchange_trace(PyObject* trace);
// An interned number that stands for every trace-affecting option in force in this thread.
int64_t options_key();
bool x64_enabled();
// Whether a guard of this thread wants to know of transfers.
bool transfers_guarded();

}  // namespace anima
