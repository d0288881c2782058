// Releases that must wait for the GIL.
//
// XLA tells on its own threads that it is done with a source, and a thread may end without the GIL;
// what it held of Python is then queued here. Taking the GIL instead could deadlock or, at exit, crash.
#pragma once

#include <Python.h>

namespace anima {

// Runs release(object) later, with the GIL held. Callable from any thread in any state.
void defer_release(void (*release)(void*), void* object);
// The same for a reference to a Python object.
void defer_decref(PyObject* object);
// Runs what is queued. Needs the GIL. Cheap when there is nothing.
void run_deferred_releases();

}  // namespace anima
