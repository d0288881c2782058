// The Python type anima._native.CallPlan: construction, with every check that a run relies on.
#include "call/plan.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <structmember.h>

#include <algorithm>
#include <new>
#include <string>

#include "array/hooks.h"

namespace anima {

PyTypeObject* plan_type = nullptr;  // owned for the life of the process

namespace {

constexpr Py_ssize_t kMostLeaves = 1 << 24;  // memory is taken for each before any is seen

struct PlanArguments {
  PyObject* executable = nullptr;
  Py_ssize_t num_leaves = -1;
  PyObject* kept = Py_None;
  PyObject* consts = Py_None;
  PyObject* out_avals = nullptr;
  PyObject* out_tree = Py_None;
  int single = 0;
  PyObject* out_shardings = Py_None;
  int committed = 0;
  PyObject* donate = Py_None;
  PyObject* forward = Py_None;
  PyObject* device = Py_None;
  PyObject* keepalive = Py_None;
  PyObject* host = Py_None;
  PyObject* packing = Py_None;
};

PyRef tuple_from(PyObject* items, const char* parameter) {
  PyRef tuple = PyRef::steal(PySequence_Tuple(items));
  if (!tuple) throw_python(PyExc_TypeError, "CallPlan: `%s` must be a sequence, got %R", parameter, items);
  return tuple;
}

// An integer in lowest..limit-1.
int64_t index_from(PyObject* item, const char* parameter, int64_t lowest, size_t limit) {
  Py_ssize_t index = PyNumber_AsSsize_t(item, PyExc_ValueError);
  if (index == -1 && PyErr_Occurred()) throw PythonError();
  if (index < lowest || index >= static_cast<Py_ssize_t>(limit)) {
    throw_python(PyExc_ValueError, "CallPlan: `%s` holds %zd, and there are %zu leaves", parameter, index,
                 limit);
  }
  return index;
}

void read_executable(PlanObject* plan, PyObject* executable) {
  if (executable == Py_None) return;
  if (!nanobind::try_cast(nanobind::handle(executable), plan->executable)) {
    throw_python(PyExc_TypeError, "CallPlan: `executable` must be an Executable or None, got %R", executable);
  }
  plan->devices = plan->executable->devices();
}

void read_devices(PlanObject* plan, PyObject* device) {
  if (device == Py_None && plan->executable) return;
  std::vector<Device*> devices;
  if (PyList_Check(device) || PyTuple_Check(device)) {
    PyRef items = tuple_from(device, "device");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
      devices.push_back(unwrap_device(PyTuple_GET_ITEM(items.get(), i), "device"));
    }
  } else {
    devices.push_back(unwrap_device(device, "device"));
  }
  if (devices.empty() || (plan->executable && devices != plan->devices)) {
    throw_python(PyExc_ValueError, "CallPlan: `device` %R does not name the executable's devices", device);
  }
  plan->devices = std::move(devices);
}

void read_kept(PlanObject* plan, PyObject* kept) {
  if (kept == Py_None) {
    for (size_t i = 0; plan->executable && i < plan->num_leaves; i++) plan->kept.push_back(i);
    return;
  }
  PyRef items = tuple_from(kept, "kept");
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
    int64_t leaf = index_from(PyTuple_GET_ITEM(items.get(), i), "kept", 0, plan->num_leaves);
    plan->kept.push_back(static_cast<size_t>(leaf));
  }
}

void read_consts(PlanObject* plan, PyObject* consts) {
  if (consts == Py_None) return;
  PyRef items = tuple_from(consts, "consts");
  plan->num_consts = static_cast<size_t>(PyTuple_GET_SIZE(items.get()));
  for (size_t d = 0; d < plan->devices.size(); d++) {
    for (size_t i = 0; i < plan->num_consts; i++) {
      PyObject* item = PyTuple_GET_ITEM(items.get(), static_cast<Py_ssize_t>(i));
      if (!is_array(item))
        throw_python(PyExc_TypeError, "CallPlan: `consts` holds %R, which is no ArrayImpl", item);
      check_live(as_array(item));
      const Shards& shards = as_array(item)->shards;
      if (shards.size() != plan->devices.size() || shards[d]->device() != plan->devices[d]) {
        throw_python(PyExc_ValueError, "CallPlan: item %zu of `consts` is not on the devices of the program",
                     i);
      }
      plan->consts.push_back(shards[d]);
    }
  }
}

AvalRef aval_from(PyObject* item) {
  if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 3) {
    throw_python(PyExc_TypeError, "CallPlan: `out_avals` must hold (shape, dtype, weak_type), got %R", item);
  }
  int weak = PyObject_IsTrue(PyTuple_GET_ITEM(item, 2));
  if (weak < 0) throw PythonError();
  return intern_aval(PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1), weak == 1);
}

// One item for each output, or nothing at all if None or empty was given.
PyRef per_output(PlanObject* plan, PyObject* items, const char* parameter) {
  if (items == Py_None) return PyRef();
  PyRef tuple = tuple_from(items, parameter);
  size_t count = static_cast<size_t>(PyTuple_GET_SIZE(tuple.get()));
  if (count == 0) return PyRef();
  if (count != plan->outputs.size()) {
    throw_python(PyExc_ValueError, "CallPlan: `%s` has %zu items for %zu outputs", parameter, count,
                 plan->outputs.size());
  }
  return tuple;
}

void read_outputs(PlanObject* plan, const PlanArguments& args) {
  PyRef avals = tuple_from(args.out_avals, "out_avals");
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(avals.get()); i++) {
    plan->outputs.emplace_back().aval = aval_from(PyTuple_GET_ITEM(avals.get(), i));
  }
  PyRef shardings = per_output(plan, args.out_shardings, "out_shardings");
  PyRef forward = per_output(plan, args.forward, "forward");
  for (size_t i = 0; i < plan->outputs.size(); i++) {
    PlanOutput& output = plan->outputs[i];
    Py_ssize_t at = static_cast<Py_ssize_t>(i);
    if (shardings && PyTuple_GET_ITEM(shardings.get(), at) != Py_None) {
      output.sharding = PyRef::borrow(PyTuple_GET_ITEM(shardings.get(), at));
    }
    if (forward)
      output.forward = index_from(PyTuple_GET_ITEM(forward.get(), at), "forward", -1, plan->num_leaves);
    if (output.forward < 0) plan->num_computed++;
    if (plan->devices.size() > 1 && output.forward < 0 && !output.sharding) {
      throw_python(PyExc_ValueError, "CallPlan: output %zu of a program on several devices needs a sharding",
                   i);
    }
  }
}

void check_num_results(const PlanObject* plan) {
  size_t given = plan->executable ? plan->executable->num_outputs() : plan->on_host ? plan->num_computed : 0;
  if (plan->packing && plan->packing->num_result_pieces() != given) {
    throw_python(PyExc_ValueError, "CallPlan: `packing` has %zu pieces of results, but the program has %zu",
                 plan->packing->num_result_pieces(), given);
  }
  if (!plan->packing && plan->num_computed != given) {
    throw_python(PyExc_ValueError, "CallPlan: %zu outputs are not forwarded, but the program has %zu",
                 plan->num_computed, given);
  }
}

void read_host(PlanObject* plan, const PlanArguments& args) {
  if (args.host == Py_None) return;
  if (plan->devices.size() != 1 || !plan->devices[0]->client->keeps_contents())
    throw_python(PyExc_ValueError, "CallPlan: `host` needs one device, of the host itself");
  PyRef donated = args.donate == Py_None ? PyRef() : tuple_from(args.donate, "donate");
  if (donated && PyTuple_GET_SIZE(donated.get()) > 0)
    throw_python(PyExc_ValueError, "CallPlan: what `host` computes takes no donations");
  std::vector<AvalRef> outputs;
  PyRef out_avals = tuple_from(args.out_avals, "out_avals");
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(out_avals.get()); i++)
    outputs.push_back(aval_from(PyTuple_GET_ITEM(out_avals.get(), i)));
  plan->on_host = std::make_unique<const HostProgram>(args.host, plan->num_leaves, outputs);
}

void read_packing(PlanObject* plan, const PlanArguments& args) {
  if (args.packing == Py_None) return;
  if (!plan->executable || plan->devices.size() != 1 || !plan->devices[0]->client->keeps_contents())
    throw_python(PyExc_ValueError, "CallPlan: `packing` needs a program on one device, of the host itself");
  PyRef donated = args.donate == Py_None ? PyRef() : tuple_from(args.donate, "donate");
  if (donated && PyTuple_GET_SIZE(donated.get()) > 0)
    throw_python(PyExc_ValueError, "CallPlan: a program with `packing` takes no donations");
  std::vector<AvalRef> computed;
  for (const PlanOutput& output : plan->outputs) {
    if (output.forward < 0) computed.push_back(output.aval);
  }
  plan->packing = std::make_unique<const Packing>(args.packing, plan->kept.size(), computed);
}

void read_structure(PlanObject* plan, const PlanArguments& args) {
  size_t count = plan->outputs.size();
  plan->single = args.single != 0;
  if (args.out_tree != Py_None) {
    int64_t leaves = leaf_count(as_treedef(args.out_tree));
    if (leaves != static_cast<int64_t>(count)) {
      throw_python(PyExc_ValueError, "CallPlan: `out_tree` has %lld leaves for %zu outputs",
                   static_cast<long long>(leaves), count);
    }
    Py_INCREF(args.out_tree);
    plan->out_tree = args.out_tree;
  } else if (plan->single && count != 1) {
    throw_python(PyExc_ValueError, "CallPlan: `single` needs one output, there are %zu", count);
  }
}

void read_donations(PlanObject* plan, PyObject* donate) {
  if (donate == Py_None) return;
  PyRef items = tuple_from(donate, "donate");
  std::vector<char> donated(plan->num_leaves);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++) {
    donated[static_cast<size_t>(
        index_from(PyTuple_GET_ITEM(items.get(), i), "donate", 0, plan->num_leaves))] = 1;
  }
  std::vector<int64_t> argument(plan->num_leaves, -1);
  for (size_t i = 0; i < plan->kept.size(); i++) {
    if (argument[plan->kept[i]] >= 0 && donated[plan->kept[i]]) {
      throw_python(PyExc_ValueError, "CallPlan: leaf %zu is donated and is more than one argument",
                   plan->kept[i]);
    }
    argument[plan->kept[i]] = static_cast<int64_t>(i);
  }
  std::vector<char> forwarded(plan->num_leaves);
  for (PlanOutput& output : plan->outputs) {
    if (output.forward < 0) continue;
    forwarded[static_cast<size_t>(output.forward)] = 1;
    output.donated = donated[static_cast<size_t>(output.forward)] != 0;
  }
  for (size_t leaf = 0; leaf < plan->num_leaves; leaf++) {
    if (donated[leaf]) plan->donations.push_back({leaf, argument[leaf], forwarded[leaf] != 0});
  }
  std::sort(plan->donations.begin(), plan->donations.end(),
            [](const PlanDonation& a, const PlanDonation& b) { return a.argument < b.argument; });
}

// An empty plan, sound enough to be deallocated.
PyRef allocate(PyTypeObject* type) {
  PyRef made = PyRef::steal(checked(type->tp_alloc(type, 0)));
  PlanObject* plan = as_plan(made.get());
  new (&plan->executable) ExecutableRef();
  new (&plan->on_host) HostProgramRef();
  new (&plan->devices) std::vector<Device*>();
  new (&plan->kept) std::vector<size_t>();
  new (&plan->consts) std::vector<BufferRef>();
  new (&plan->outputs) std::vector<PlanOutput>();
  new (&plan->packing) PackingRef();
  new (&plan->donations) std::vector<PlanDonation>();
  return made;
}

PyObject* new_plan(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"executable", "num_leaves",    "kept",      "consts", "out_avals", "out_tree",
                                "single",     "out_shardings", "committed", "donate", "forward",   "device",
                                "keepalive",  "host",          "packing",   nullptr};
  PlanArguments given;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$nOOOOpOpOOOOOO:CallPlan", const_cast<char**>(names),
                                   &given.executable, &given.num_leaves, &given.kept, &given.consts,
                                   &given.out_avals, &given.out_tree, &given.single, &given.out_shardings,
                                   &given.committed, &given.donate, &given.forward, &given.device,
                                   &given.keepalive, &given.host, &given.packing)) {
    return nullptr;
  }
  return guarded<>(static_cast<PyObject*>(nullptr), [&] {
    if (given.out_avals == nullptr) throw_python(PyExc_TypeError, "CallPlan needs the argument 'out_avals'");
    if (given.num_leaves < 0)
      throw_python(PyExc_TypeError, "CallPlan needs `num_leaves`, which is not negative");
    if (given.num_leaves > kMostLeaves) {
      throw_python(PyExc_ValueError, "CallPlan: `num_leaves` must be at most %zd, got %zd", kMostLeaves,
                   given.num_leaves);
    }
    PyRef made = allocate(type);
    PlanObject* plan = as_plan(made.get());
    plan->num_leaves = static_cast<size_t>(given.num_leaves);
    plan->committed = given.committed != 0;
    Py_INCREF(given.keepalive);
    plan->keepalive = given.keepalive;
    read_executable(plan, given.executable);
    read_devices(plan, given.device);
    read_kept(plan, given.kept);
    read_consts(plan, given.consts);
    read_host(plan, given);
    read_outputs(plan, given);
    read_packing(plan, given);
    check_num_results(plan);
    read_structure(plan, given);
    read_donations(plan, given.donate);
    for (const PlanOutput& output : plan->outputs) {
      if (plan->on_host && (output.forward >= 0 || output.sharding))
        throw_python(PyExc_ValueError, "CallPlan: what `host` computes is neither forwarded nor sharded");
    }
    if (!plan->executable && plan->kept.size() + plan->num_consts != 0) {
      throw_python(PyExc_ValueError, "CallPlan: `kept` and `consts` need an executable");
    }
    return made.release();
  });
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(as_plan(object)->out_tree);
  Py_VISIT(as_plan(object)->keepalive);
  for (const PlanOutput& output : as_plan(object)->outputs) Py_VISIT(output.sharding.get());
  return 0;
}

// The parts that a run needs stay: only what can be part of a cycle goes.
int clear(PyObject* object) {
  Py_CLEAR(as_plan(object)->keepalive);
  return 0;
}

void release(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  PlanObject* plan = as_plan(object);
  if (plan->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
  Py_CLEAR(plan->out_tree);
  Py_CLEAR(plan->keepalive);
  plan->donations.~vector();
  plan->packing.~PackingRef();
  plan->outputs.~vector();
  plan->consts.~vector();
  plan->kept.~vector();
  plan->devices.~vector();
  plan->on_host.~HostProgramRef();
  plan->executable.~ExecutableRef();
  type->tp_free(object);
  Py_DECREF(type);
}

void dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  Py_TRASHCAN_BEGIN(object, dealloc);  // `keepalive` may be a plan, and so on
  release(object);
  Py_TRASHCAN_END;
}

void read_leaves(const PlanObject* plan, PyObject* leaves, const char* method, Leaves& owned) {
  PyRef items = tuple_from(leaves, "leaves");
  size_t count = static_cast<size_t>(PyTuple_GET_SIZE(items.get()));
  if (count != plan->num_leaves) {
    throw_python(PyExc_ValueError, "%s(): expected %zu leaves, got %zu", method, plan->num_leaves, count);
  }
  for (size_t i = 0; i < count; i++) {
    PyObject* leaf = PyTuple_GET_ITEM(items.get(), static_cast<Py_ssize_t>(i));
    if (!is_array(leaf) && !aval_of_host_value(leaf)) {
      throw_python(PyExc_TypeError, "%s(): leaf %zu is neither an ArrayImpl nor a host value: %R", method, i,
                   leaf);
    }
    owned.push_back(PyRef::borrow(leaf));
  }
}

PyObject* method_answer(PyObject* object, PyObject* leaves) {
  return guarded<>(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    PlanObject* plan = as_plan(object);
    Leaves owned;
    read_leaves(plan, leaves, "answer", owned);
    Outputs outputs;
    if (!run_on_host(plan, owned.data(), outputs)) Py_RETURN_NONE;
    return arrange_outputs(plan, outputs);
  });
}

PyObject* method_execute(PyObject* object, PyObject* leaves) {
  return guarded<>(static_cast<PyObject*>(nullptr), [&] {
    PlanObject* plan = as_plan(object);
    Leaves owned;
    read_leaves(plan, leaves, "execute", owned);
    Outputs outputs;
    if (!run_plan(plan, owned.data(), outputs, true)) {
      throw_python(PyExc_ValueError,
                   "execute(): a leaf is not on the devices of the program, or not sharded over them");
    }
    return arrange_outputs(plan, outputs);
  });
}

PyObject* get_calls(PyObject* object, void*) { return PyLong_FromUnsignedLongLong(as_plan(object)->calls); }
PyObject* get_num_leaves(PyObject* object, void*) { return PyLong_FromSize_t(as_plan(object)->num_leaves); }

PyObject* get_out_tree(PyObject* object, void*) {
  PyObject* tree = as_plan(object)->out_tree;
  return PyRef::borrow(tree == nullptr ? Py_None : tree).release();
}

PyObject* get_executable(PyObject* object, void*) {
  return guarded<>(static_cast<PyObject*>(nullptr),
                   [&] { return nanobind::cast(as_plan(object)->executable).release().ptr(); });
}

PyMethodDef methods[] = {
    {"execute", method_execute, METH_O,
     "execute($self, leaves, /)\n--\n\nWhat a call returns. Raises ValueError if a leaf "
     "is not where the program can "
     "take it."},
    {"answer", method_answer, METH_O,
     "answer($self, leaves, /)\n--\n\nWhat a call returns if that can be computed on the "
     "host, otherwise None."},
    {}};
PyGetSetDef properties[] = {
    {"calls", get_calls, nullptr, "How often the plan has run.", nullptr},
    {"num_leaves", get_num_leaves, nullptr, "How many leaves a call has.", nullptr},
    {"out_tree", get_out_tree, nullptr, "The structure of the outputs, or None.", nullptr},
    {"executable", get_executable, nullptr, "The compiled program, or None.", nullptr},
    {}};
PyMemberDef members[] = {
    {"keepalive", T_OBJECT, offsetof(PlanObject, keepalive), READONLY, "What Python attached."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PlanObject, weakrefs), READONLY, nullptr},
    {}};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>(
         "CallPlan(executable, *, num_leaves, kept=None, consts=(), out_avals, out_tree=None, single=False, "
         "out_shardings=None, committed=False, donate=(), forward=(), device=None, keepalive=None, "
         "host=None, packing=None)\n--\n\n"
         "What a call does once its signature is known: which leaves a program takes, and what its results "
         "are.")},
    {Py_tp_new, reinterpret_cast<void*>(new_plan)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, nullptr}};

PyType_Spec spec = {"anima._native.CallPlan", sizeof(PlanObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                    slots};

}  // namespace

void create_plan_type() { plan_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec))); }

}  // namespace anima
