// Executing a plan.
//
// Invariant: the GIL is released exactly while buffers move and the program is launched. Each buffer is
// owned here meanwhile, since another thread may delete or donate its array.
#include <chrono>
#include <string>

#include "array/array_type.h"
#include "array/host_value.h"
#include "array/transfers.h"
#include "call/plan.h"
#include "common/deferred.h"
#include "pjrt/launches.h"
#include "pjrt/timeline.h"

namespace anima {
namespace {

// The buffers of donated arrays, taken away from them while the program is launched: another thread then
// finds the arrays deleted, instead of launching a program of its own with buffers that are being given up.
// The arrays, which the caller owns, get them back if the run fails.
class Donated {
 public:
  Donated() = default;
  ~Donated() {
    for (Taken& taken : taken_) taken.array->shards = std::move(taken.shards);
  }
  Donated(const Donated&) = delete;
  Donated& operator=(const Donated&) = delete;

  void take(ArrayObject* array) {
    if (array->shards.empty()) return;
    Taken& taken = taken_.emplace_back(Taken{array, {}});
    taken.shards = std::move(array->shards);
  }
  // The buffers that an array has, or had when it was taken.
  const Shards& shards_of(ArrayObject* array) const {
    for (const Taken& taken : taken_) {
      if (taken.array == array) return taken.shards;
    }
    return array->shards;
  }
  // The run is over: the arrays are deleted for good.
  void finish() {
    for (Taken& taken : taken_) delete_array(taken.array);
    taken_.clear();
  }

 private:
  struct Taken {
    ArrayObject* array;
    Shards shards;
  };
  SmallVector<Taken, 4> taken_;
};

// The arguments of one run: args[d * count + i] is argument i on device d.
struct Run {
  SmallVector<BufferRef, 16> held;
  SmallVector<Buffer*, 24> args;
  SmallVector<size_t, 4> moves;  // positions in `held` of what has to be copied to the one device
  std::vector<int64_t> non_donatable;
  Donated donated;
};

// False if the array cannot be an argument of a program on one device.
bool add_array(ArrayObject* array, Device* device, Run& run) {
  if (array->shards.size() != 1) {
    check_live(array);
    return false;
  }
  const BufferRef& buffer = array->shards[0];
  if (buffer->device() != device) {
    if (array->committed) return false;
    announce_transfer("device_to_device", *array->aval, device);
    run.moves.push_back(run.held.size());
  }
  run.args.push_back(buffer.get());
  run.held.push_back(buffer);
  return true;
}

HostValue put_leaf(PyObject* leaf, Device* device, HostSemantics copy) {
  if (transfers_guarded()) {
    if (AvalRef aval = aval_of_host_value(leaf)) announce_transfer("host_to_device", *aval, device);
  }
  HostValue value = put_host_value(leaf, device, copy);
  if (!value.buffer)
    throw_python(PyExc_TypeError, "a leaf of a compiled call is neither an array nor a number: %R", leaf);
  return value;
}

bool gather_single(const PlanObject* plan, const PyRef* leaves, Run& run) {
  Device* device = plan->devices[0];
  run.held.reserve(plan->kept.size());
  run.args.reserve(plan->kept.size() + plan->num_consts);
  for (size_t leaf : plan->kept) {
    PyObject* object = leaves[leaf].get();
    if (is_array(object)) {
      if (!add_array(as_array(object), device, run)) return false;
      continue;
    }
    run.held.push_back(put_leaf(object, device, HostSemantics::kPassOn).buffer);
    run.args.push_back(run.held.back().get());
  }
  for (const BufferRef& buffer : plan->consts) run.args.push_back(buffer.get());
  return true;
}

// True if the shards lie on the plan's devices, in order.
bool is_laid_out(const PlanObject* plan, ArrayObject* array) {
  if (array->shards.size() != plan->devices.size()) {
    check_live(array);
    return false;
  }
  for (size_t d = 0; d < plan->devices.size(); d++) {
    if (array->shards[d]->device() != plan->devices[d]) return false;
  }
  return true;
}

bool gather_sharded(const PlanObject* plan, const PyRef* leaves, Run& run) {
  for (size_t leaf : plan->kept) {
    PyObject* object = leaves[leaf].get();
    if (!is_array(object) || !is_laid_out(plan, as_array(object))) return false;
  }
  for (size_t d = 0; d < plan->devices.size(); d++) {
    for (size_t leaf : plan->kept) {
      run.held.push_back(as_array(leaves[leaf].get())->shards[d]);
      run.args.push_back(run.held.back().get());
    }
    for (size_t i = 0; i < plan->num_consts; i++) {
      run.args.push_back(plan->consts[d * plan->num_consts + i].get());
    }
  }
  return true;
}

// Throws if an array that is donated is an argument in another place too.
void check_donated_once(const PlanObject* plan, const PyRef* leaves) {
  size_t slots = 16;
  while (slots < 2 * plan->kept.size()) slots *= 2;
  SmallVector<PyObject*, 128> seen;  // a hash table of objects
  seen.extend_to(slots);
  auto place_of = [&](PyObject* object) -> PyObject*& {
    size_t at = (reinterpret_cast<size_t>(object) >> 4) * 0x9E3779B97F4A7C15u;
    for (at = (at >> 32) & (slots - 1); seen[at] != nullptr && seen[at] != object;
         at = (at + 1) & (slots - 1)) {
    }
    return seen[at];
  };
  for (const PlanDonation& donation : plan->donations) {
    PyObject* object = leaves[donation.leaf].get();
    if (donation.argument < 0 || !is_array(object)) continue;
    PyObject*& place = place_of(object);
    if (place != nullptr) {
      throw_python(
          PyExc_ValueError,
          "the same array of shape %S is donated twice in one call. Pass a copy in one of the two places, or "
          "do not donate them.",
          as_array(object)->aval->shape.get());
    }
    place = object;
  }
  size_t next = 0;  // donations are in the order of the arguments
  for (size_t argument = 0; argument < plan->kept.size(); argument++) {
    while (next < plan->donations.size() && plan->donations[next].argument < static_cast<int64_t>(argument))
      next++;
    if (next < plan->donations.size() && plan->donations[next].argument == static_cast<int64_t>(argument))
      continue;
    PyObject* object = leaves[plan->kept[argument]].get();
    if (!is_array(object) || place_of(object) == nullptr) continue;
    throw_python(
        PyExc_ValueError,
        "an array of shape %S is donated and is another argument of the same call too. Pass a copy in one of "
        "the two places, or do not donate it.",
        as_array(object)->aval->shape.get());
  }
}

void prepare_donations(const PlanObject* plan, const PyRef* leaves, Run& run) {
  check_donated_once(plan, leaves);
  for (const PlanDonation& donation : plan->donations) {
    PyObject* object = leaves[donation.leaf].get();
    if (donation.argument < 0) continue;
    size_t at = static_cast<size_t>(donation.argument);
    bool moved = false;  // then what is donated is a fresh copy
    for (size_t move : run.moves) moved = moved || move == at;
    if (moved) continue;
    // A host value is in no array, but its buffer may be that of all equal scalars.
    bool own = is_array(object) ? may_donate(as_array(object), 1) : run.held[at].use_count() == 1;
    if (!own || donation.forwarded) run.non_donatable.push_back(donation.argument);
  }
  for (const PlanDonation& donation : plan->donations) {
    PyObject* object = leaves[donation.leaf].get();
    if (is_array(object)) run.donated.take(as_array(object));
  }
}

// The same as Executable::execute(), told to the profile that is being taken.
void execute_recorded(const PlanObject* plan, Run& run, BufferRef* results, size_t count) {
  std::string name = plan->executable->name();
  int64_t start = timeline::now();
  plan->executable->execute(run.args.data(), count, run.non_donatable, results);
  timeline::add(Moment::kLaunch, name, plan->devices[0], start, 0);
  size_t each = plan->executable->num_outputs();
  if (each == 0) return;
  for (size_t d = 0; d < plan->devices.size(); d++) timeline::add_run(name, *results[d * each], start);
}

void execute(const PlanObject* plan, Run& run, BufferRef* results) {
  if (!plan->executable) return;
  NoGil nogil;
  for (size_t at : run.moves) {
    run.held[at] = run.held[at]->copy_to(plan->devices[0]);
    run.args[at] = run.held[at].get();
  }
  size_t kept = plan->packing ? plan->packing->num_argument_pieces() : plan->kept.size();
  size_t count = kept + plan->num_consts;
  if (!plan->checked) plan->executable->check_arguments(run.args.data(), count);
  if (timeline::on()) return execute_recorded(plan, run, results, count);
  plan->executable->execute(run.args.data(), count, run.non_donatable, results);
}

// Avals are promises about memory that is read later, so they are compared with it once.
void check_outputs(PlanObject* plan, const BufferRef* results) {
  size_t next = 0;
  for (size_t i = 0; i < plan->outputs.size(); i++) {
    const PlanOutput& output = plan->outputs[i];
    if (output.forward >= 0) continue;
    const Buffer& buffer = *results[next++];
    bool same_shape = plan->devices.size() > 1 || buffer.dims() == output.aval->physical_dims;
    if (buffer.type() == output.aval->type && same_shape) continue;
    throw_python(PyExc_ValueError,
                 "output %zu of the program does not have the shape %S and dtype %S of the plan", i,
                 output.aval->shape.get(), output.aval->dtype.get());
  }
  plan->checked = true;
}

// What the program calls has to live until it has run, even if the plan is dropped before.
void keep_until_ready(const PlanObject* plan, const BufferRef* results, size_t count) {
  if (plan->keepalive == Py_None) return;
  for (size_t i = 0; i < count; ++i) {
    PyObject* kept = Py_NewRef(plan->keepalive);
    results[i]->on_ready([kept] { defer_decref(kept); });
  }
}

PyRef wrap_result(const PlanObject* plan, const PlanOutput& output, BufferRef* results, size_t index) {
  if (!output.sharding) {
    return PyRef::steal(make_array(output.aval, std::move(results[index]), plan->committed));
  }
  Shards shards;
  for (size_t d = 0; d < plan->devices.size(); d++) {
    shards.push_back(std::move(results[d * plan->num_computed + index]));
  }
  bool committed = plan->committed || plan->devices.size() > 1;
  return PyRef::steal(make_array(output.aval, std::move(shards), output.sharding.get(), committed));
}

// A leaf as an output: the array itself, unless it has to be put or copied, or is about to be deleted.
PyRef forward_leaf(const PlanObject* plan, const PyRef& leaf, const PlanOutput& output, const Run& run) {
  if (!is_array(leaf.get())) {
    HostValue value = put_leaf(leaf.get(), plan->devices[0], HostSemantics::kCopy);
    return PyRef::steal(make_array(std::move(value.aval), std::move(value.buffer), plan->committed));
  }
  ArrayObject* array = as_array(leaf.get());
  const Shards& shards = run.donated.shards_of(array);
  if (shards.empty()) throw_deleted(array);
  if (plan->devices.size() == 1 && shards.size() == 1 && shards[0]->device() != plan->devices[0] &&
      !array->committed) {
    announce_transfer("device_to_device", *array->aval, plan->devices[0]);
    BufferRef buffer = shards[0];
    {
      NoGil nogil;
      buffer = buffer->copy_to(plan->devices[0]);
    }
    return PyRef::steal(make_array(array->aval, std::move(buffer), plan->committed));
  }
  if (!output.donated) return leaf;
  return PyRef::steal(make_array(array->aval, shards, array->sharding, array->committed));
}

// Whether a program would run now. What a callback runs does: see nested.cc.
bool would_start(Device* device) {
  if (CallbackScope::active() || launches::idle(device, std::chrono::microseconds(0))) return true;
  NoGil nogil;
  return launches::idle(device, launches::kPatience);
}

// The arguments of a program that takes them in pieces.
bool gather_packed(const PlanObject* plan, const PyRef* leaves, Run& run) {
  SmallVector<BufferRef, 4> pieces;
  if (!plan->packing->pack(leaves, plan->kept, plan->devices[0], pieces)) return false;
  for (BufferRef& piece : pieces) {
    run.args.push_back(piece.get());
    run.held.push_back(std::move(piece));
  }
  for (const BufferRef& buffer : plan->consts) run.args.push_back(buffer.get());
  return true;
}

bool gather(const PlanObject* plan, const PyRef* leaves, Run& run) {
  if (plan->packing) return gather_packed(plan, leaves, run);
  return plan->devices.size() == 1 ? gather_single(plan, leaves, run) : gather_sharded(plan, leaves, run);
}

// Outputs that are forwarded have to be where the results would be.
bool can_forward(const PlanObject* plan, const PyRef* leaves) {
  if (plan->num_computed == plan->outputs.size()) return true;
  for (const PlanOutput& output : plan->outputs) {
    if (output.forward < 0) continue;
    PyObject* object = leaves[output.forward].get();
    if (is_array(object)) check_live(as_array(object));
    if (plan->devices.size() == 1) continue;
    if (!is_array(object) || !is_laid_out(plan, as_array(object))) return false;
  }
  return true;
}

// ---- on the host ------------------------------------------------------------------------------------------

// What is read of a leaf.
struct Operand {
  Scalar scalar;     // a host value
  BufferRef buffer;  // otherwise
  const void* address = nullptr;
};

// False unless the leaf is what the program was made for, and can be read now.
bool read_operand(const PlanObject* plan, size_t index, PyObject* leaf, Operand& operand) {
  const AvalInfo* expected = plan->on_host->leaf(index).get();
  if (is_array(leaf)) {
    ArrayObject* array = as_array(leaf);
    if (array->aval.get() != expected || array->shards.size() != 1) return false;
    operand.buffer = array->shards[0];
    if (operand.buffer->device() != plan->devices[0]) return false;
    operand.address = operand.buffer->readable();
    return operand.address != nullptr;
  }
  if (!read_scalar(leaf, operand.scalar)) return false;
  operand.address = operand.scalar.bytes;
  return expected->dims.empty() && expected->type == operand.scalar.type &&
         expected->weak == operand.scalar.weak;
}

}  // namespace

bool run_on_host(PlanObject* plan, const PyRef* leaves, Outputs& outputs) {
  if (!plan->on_host || transfers_guarded()) return false;  // a guard is asked by the other road
  Client::Use use(plan->devices[0]->client);                // the addresses are good as long as this lives
  SmallVector<Operand, 3> operands;
  SmallVector<const void*, 3> addresses;
  operands.extend_to(plan->num_leaves);
  for (size_t i = 0; i < plan->num_leaves; i++) {
    if (!read_operand(plan, i, leaves[i].get(), operands[i])) return false;
    addresses.push_back(operands[i].address);
  }
  SmallVector<ContentsRef, 2> results;
  SmallVector<void*, 2> targets;
  for (const PlanOutput& output : plan->outputs) {
    results.push_back(Contents::make(output.aval->type, output.aval->dims));
    targets.push_back(results.back()->data());
  }
  int64_t start = timeline::on() ? timeline::now() : 0;
  if (!plan->on_host->run(addresses.data(), targets.data())) return false;
  if (start != 0) timeline::add(Moment::kLaunch, plan->on_host->name(), plan->devices[0], start, 0);
  plan->calls++;
  for (size_t i = 0; i < plan->outputs.size(); i++) {
    auto buffer = std::make_shared<Buffer>(plan->devices[0], std::move(results[i]));
    outputs.push_back(PyRef::steal(make_array(plan->outputs[i].aval, std::move(buffer), plan->committed)));
  }
  return true;
}

namespace {

void run_program(PlanObject* plan, Run& run, BufferRef* results) {
  execute(plan, run, results);
  keep_until_ready(plan, results, plan->num_computed * plan->devices.size());
  if (!plan->checked) check_outputs(plan, results);
}

// The same where arguments and results are in pieces. Its results are there when it returns.
void run_packed(PlanObject* plan, Run& run, BufferRef* results) {
  SmallVector<BufferRef, 4> pieces;
  pieces.extend_to(plan->packing->num_result_pieces());
  execute(plan, run, pieces.data());
  if (!plan->checked) plan->packing->check_results(pieces.data());
  plan->checked = true;
  plan->packing->unpack(pieces.data(), plan->devices[0], results);
}

}  // namespace

bool run_plan(PlanObject* plan, const PyRef* leaves, Outputs& outputs, bool may_wait) {
  if (plan->on_host) {
    if (run_on_host(plan, leaves, outputs)) return true;
    if (!plan->executable) return false;
  }
  if (plan->packing && !may_wait && !would_start(plan->devices[0])) return false;
  Run run;
  if (!gather(plan, leaves, run) || !can_forward(plan, leaves)) return false;
  if (!plan->donations.empty()) prepare_donations(plan, leaves, run);
  SmallVector<BufferRef, 16> results;
  results.extend_to(plan->num_computed * plan->devices.size());
  plan->packing ? run_packed(plan, run, results.data()) : run_program(plan, run, results.data());
  plan->calls++;
  outputs.reserve(plan->outputs.size());
  size_t next = 0;
  for (const PlanOutput& output : plan->outputs) {
    if (output.forward < 0) {
      outputs.push_back(wrap_result(plan, output, results.data(), next++));
    } else {
      outputs.push_back(forward_leaf(plan, leaves[output.forward], output, run));
    }
  }
  run.donated.finish();
  return true;
}

PyObject* arrange_outputs(const PlanObject* plan, const Outputs& outputs) {
  if (plan->out_tree != nullptr) {
    SmallVector<PyObject*, 16> borrowed;
    borrowed.reserve(outputs.size());
    for (const PyRef& output : outputs) borrowed.push_back(output.get());
    return unflatten(as_treedef(plan->out_tree), borrowed.data(), borrowed.size());
  }
  if (plan->single) return outputs[0].new_ref();
  PyRef list = PyRef::steal(checked(PyList_New(static_cast<Py_ssize_t>(outputs.size()))));
  for (size_t i = 0; i < outputs.size(); i++) {
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), outputs[i].new_ref());
  }
  return list.release();
}

}  // namespace anima
