// What a call does once its signature is known: which leaves go into which program, and what its
// results are.
//
// Invariant: a plan never changes after construction, apart from its counters, and is checked there:
// every leaf index is in range and the outputs are as many as the program has. It is a Python object
// (anima._native.CallPlan), so that a call under way keeps it when caches are cleared.
#pragma once

#include <Python.h>

#include <cstdint>
#include <vector>

#include "array/array.h"
#include "call/host_program.h"
#include "call/packing.h"
#include "common/py.h"
#include "common/small_vector.h"
#include "pjrt/client.h"
#include "tree/tree.h"

namespace anima {

struct PlanOutput {
  AvalRef aval;
  PyRef sharding;        // null: an array on a single device
  int64_t forward = -1;  // the leaf that is returned as it is, or -1: the program's next output
  bool donated = false;  // whether that leaf is donated too
};

struct PlanDonation {
  size_t leaf;
  int64_t argument;  // its place among the program's arguments, or -1 if the program does not take it
  bool forwarded;    // whether the leaf is an output, too: then its memory stays as it is
};

struct PlanObject {
  PyObject_HEAD;
  ExecutableRef executable;      // null if every output is forwarded, or only the host computes them
  HostProgramRef on_host;        // computes the outputs where the leaves are at hand, or null
  std::vector<Device*> devices;  // where arguments have to be; one a partition
  size_t num_leaves;
  std::vector<size_t> kept;       // the leaves that the program takes, in order
  std::vector<BufferRef> consts;  // its further arguments: consts[d * num_consts + i] on device d
  size_t num_consts;
  std::vector<PlanOutput> outputs;
  size_t num_computed;                  // outputs that are not forwarded
  PackingRef packing;                   // how the program takes and returns arrays in pieces, or null
  std::vector<PlanDonation> donations;  // by argument
  PyObject* out_tree;                   // PyTreeDef, or null
  PyObject* keepalive;
  PyObject* weakrefs;
  bool single;     // without out_tree: the one output itself rather than a list
  bool committed;  // whether single-device outputs are
  bool checked;    // whether a run has shown that the program fits
  uint64_t calls;
};

extern PyTypeObject* plan_type;
void create_plan_type();  // once
inline bool is_plan(PyObject* o) { return Py_TYPE(o) == plan_type; }
inline PlanObject* as_plan(PyObject* o) { return reinterpret_cast<PlanObject*>(o); }

using Outputs = SmallVector<PyRef, 16>;

// Computes the outputs, on the host or by the program, from leaves, each an array or a host value. Returns
// false, with nothing done, if there is no program, or an argument is not where it can take it. The caller
// holds a reference to the plan.
// Nor does it run, unless it `may_wait`, if the plan's results are waited for and other programs come first.
bool run_plan(PlanObject* plan, const PyRef* leaves, Outputs& outputs, bool may_wait = false);
// The same on the host or not at all: false, with nothing done, if the plan does not say how, a kernel
// refuses these leaves, or they are not at hand.
bool run_on_host(PlanObject* plan, const PyRef* leaves, Outputs& outputs);
// The outputs in their structure. New reference.
PyObject* arrange_outputs(const PlanObject* plan, const Outputs& outputs);

}  // namespace anima
