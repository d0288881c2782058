// The Python type anima._native.CompiledCall: a function of Python with its compiled programs.
#pragma once

#include <Python.h>

namespace anima {

void create_compiled_call_type();  // once
extern PyTypeObject* compiled_call_type;
// Empties the cache of every CompiledCall.
void clear_all_caches();

}  // namespace anima
