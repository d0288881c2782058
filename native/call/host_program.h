// Small programs computed on the host: kernels that run one after the other.
//
// Invariant: a program is checked when it is made: every step reads what is there by then and writes what
// nothing has written before, and every output is the result of a step.
#pragma once

#include "call/host_kernel.h"

namespace anima {

class HostProgram {
 public:
  // `description` is (avals, constants, steps, outputs). Values are numbered, the leaves first; `avals` has
  // the (shape, dtype, weak_type) of each. `constants` are (number, bytes), `steps` (name, operands, results,
  // details) and `outputs` numbers. Throws if these make no program with so many leaves and these outputs.
  HostProgram(PyObject* description, size_t num_leaves, const std::vector<AvalRef>& outputs);
  const AvalRef& leaf(size_t i) const { return avals_[i]; }
  const std::string& name() const { return name_; }  // those of its operations
  // False if a kernel refuses.
  bool run(const void* const* leaves, void* const* outputs) const;

 private:
  struct Step {
    HostKernelRef kernel;
    std::vector<size_t> operands, results;
  };
  struct Constant {
    size_t value;
    std::vector<uint64_t> bytes;
  };
  struct Local {
    size_t value, offset;
  };
  void read_constants(PyObject* constants);
  void read_steps(PyObject* steps);
  void read_outputs(PyObject* numbers, const std::vector<AvalRef>& outputs);
  size_t read_number(PyObject* item) const;
  std::vector<size_t> read_numbers(PyObject* items) const;

  std::string name_;
  size_t num_leaves_;
  std::vector<AvalRef> avals_;
  std::vector<Constant> constants_;
  std::vector<Step> steps_;
  std::vector<size_t> outputs_;
  std::vector<Local> locals_;  // the other results, and where they are in the memory of a run
  size_t locals_bytes_ = 0;
  enum class Origin : uint8_t { kNone, kGiven, kComputed };
  std::vector<Origin> origins_;
};
using HostProgramRef = std::unique_ptr<const HostProgram>;

}  // namespace anima
