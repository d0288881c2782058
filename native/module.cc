// The module anima._native: each folder binds its own part.
#include <nanobind/nanobind.h>

#include "bindings.h"

NB_MODULE(_native, m) {
  m.doc() = "The PJRT bridge, arrays, pytrees and compiled-call dispatch of anima.";
  anima::bind_errors(m);
  anima::bind_pjrt(m);
  anima::bind_ffi(m);
  anima::bind_tree(m);
  anima::bind_thread_state(m);
  anima::bind_array(m);
  anima::bind_call(m);
}
