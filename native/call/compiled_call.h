// The Python type anima._native.CompiledCall: a function of Python with its compiled programs.
#pragma once

#include <Python.h>

namespace anima {

void create_compiled_call_type();  // once
extern PyTypeObject* compiled_call_type;
// Empties the cache of every CompiledCall.
void clear_all_caches();

// How often calls found a plan, and how often they had to ask for one. Guarded by the GIL.
struct CallCounts {
  uint64_t hits = 0;
  uint64_t misses = 0;
};
extern CallCounts call_counts;

}  // namespace anima
