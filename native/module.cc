// The module anima._native: each folder binds its own part.
//
// Invariant: it is made once in a process, since types, registries and XLA's clients are the process's.
#include <nanobind/nanobind.h>

#include <utility>

#include "bindings.h"

NB_MODULE(_native, m) {
  static bool made = false;
  if (std::exchange(made, true)) {
    throw nanobind::import_error("anima._native cannot be loaded twice in one process");
  }
  m.doc() = "The PJRT bridge, arrays, pytrees and compiled-call dispatch of anima.";
  anima::bind_errors(m);
  anima::bind_pjrt(m);
  anima::bind_ffi(m);
  anima::bind_linalg(m);
  anima::bind_tree(m);
  anima::bind_thread_state(m);
  anima::bind_array(m);
  anima::bind_call(m);
  anima::bind_trace(m);
}
