// What each folder adds to the module, in the order in which they are bound.
#pragma once

#include <nanobind/nanobind.h>

namespace anima {
void bind_errors(nanobind::module_& m);        // common/errors.cc
void bind_pjrt(nanobind::module_& m);          // pjrt/bind.cc
void bind_ffi(nanobind::module_& m);           // ffi/bind.cc
void bind_linalg(nanobind::module_& m);        // linalg/bind.cc
void bind_tree(nanobind::module_& m);          // tree/bind.cc
void bind_thread_state(nanobind::module_& m);  // common/thread_state.cc
void bind_array(nanobind::module_& m);         // array/bind.cc
void bind_call(nanobind::module_& m);          // call/bind.cc
void bind_trace(nanobind::module_& m);         // trace/bind.cc
}  // namespace anima
