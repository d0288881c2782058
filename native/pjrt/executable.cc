// Loaded executables: questions about them, and running them.
//
// Invariant: execute() allocates nothing on the heap for up to kInline arguments except the handles of
// its results, and asks for no event: errors of the computation itself surface in Buffer::await_ready.
#include "pjrt/internal.h"
#include "pjrt/launches.h"
#include "pjrt/protobuf.h"
#include "pjrt/small_blocks.h"

namespace anima {
namespace {

constexpr size_t kInline = 48;

// An array on the stack, or on the heap if it is long.
template <class T, size_t N>
class Scratch {
 public:
  explicit Scratch(size_t size) : heap_(size > N ? new T[size] : nullptr) {}
  T* data() { return heap_ ? heap_.get() : inline_; }

 private:
  T inline_[N];
  std::unique_ptr<T[]> heap_;
};

// The fields of a serialised HloModuleProtoWithConfig.
constexpr uint32_t kModule = 1;
constexpr uint32_t kConfig = 2;

// A field of `message`, or `fallback` if it has none of this number.
std::string field_of(const std::string& message, uint32_t number, const std::string& fallback) {
  Fields fields(message.data(), message.size(), "the plugin's answer is no HloModuleProtoWithConfig");
  while (!fields.done() && fields.next()) {
    if (fields.number == number && fields.bytes != nullptr) return std::string(fields.bytes, fields.size);
  }
  return fallback;
}

}  // namespace

Executable::Executable(std::shared_ptr<Client> client, PJRT_LoadedExecutable* raw)
    : Handle(client.get()), raw_(raw) {}

Executable::~Executable() { owner_->retire(this); }

Remains Executable::surrender() noexcept {
  Remains remains;
  remains.loaded = std::exchange(raw_, nullptr);
  remains.facts = std::exchange(facts_, nullptr);
  return remains;
}

const std::shared_ptr<Client>& Executable::client() const { return owner_->self(); }

void Executable::load_facts() {
  const PJRT_Api* api = owner_->api();
  Padded<PJRT_LoadedExecutable_GetExecutable_Args> facts;
  facts.loaded_executable = raw_;
  owner_->check(api->PJRT_LoadedExecutable_GetExecutable(&facts));
  facts_ = facts.executable;
  Padded<PJRT_Executable_NumOutputs_Args> outputs;
  outputs.executable = facts_;
  owner_->check(api->PJRT_Executable_NumOutputs(&outputs));
  num_outputs_ = outputs.num_outputs;
  Padded<PJRT_LoadedExecutable_AddressableDevices_Args> devices;
  devices.executable = raw_;
  owner_->check(api->PJRT_LoadedExecutable_AddressableDevices(&devices));
  for (size_t i = 0; i < devices.num_addressable_devices; ++i) {
    devices_.push_back(owner_->device_of(devices.addressable_devices[i]));
  }
}

// ---- running ----

void Executable::check_devices(Buffer* const* args, size_t num_args) const {
  for (size_t d = 0, i = 0; d < devices_.size(); ++d) {
    for (size_t a = 0; a < num_args; ++a, ++i) {
      if (args[i]->device_ == devices_[d]) continue;
      throw std::invalid_argument("execute: argument " + std::to_string(a) + " is on " +
                                  args[i]->device_->text + ", the program runs on " + devices_[d]->text);
    }
  }
}

void Executable::launch(Buffer* const* args, size_t num_args, const std::vector<int64_t>& non_donatable,
                        BufferRef* outs) {
  Client::Use use(owner_);
  check_devices(args, num_args);
  const size_t num_devices = devices_.size();
  if (num_devices > 1) check_partitioned_launch(args, num_args);
  Scratch<PJRT_Buffer*, kInline> inputs(num_devices * num_args);
  for (size_t i = 0; i < num_devices * num_args; ++i) inputs.data()[i] = args[i]->raw();
  Scratch<PJRT_Buffer*, kInline> results(num_devices * num_outputs_);
  Scratch<PJRT_Buffer* const*, 8> input_lists(num_devices);
  Scratch<PJRT_Buffer**, 8> result_lists(num_devices);
  for (size_t d = 0; d < num_devices; ++d) {
    input_lists.data()[d] = inputs.data() + d * num_args;
    result_lists.data()[d] = results.data() + d * num_outputs_;
  }
  Padded<PJRT_ExecuteOptions> options;
  options.non_donatable_input_indices = non_donatable.data();
  options.num_non_donatable_input_indices = non_donatable.size();
  Padded<PJRT_LoadedExecutable_Execute_Args> call;
  call.executable = raw_;
  call.options = &options;
  call.argument_lists = input_lists.data();
  call.num_devices = num_devices;
  call.num_args = num_args;
  call.output_lists = result_lists.data();
  PJRT_Error* error = owner_->api()->PJRT_LoadedExecutable_Execute(&call);
  if (error != nullptr) {
    if (num_devices > 1) owner_->note_failed_launch();
    explain_failure(error, args, num_devices * num_args);
  }
  executions_.fetch_add(1, std::memory_order_relaxed);
  for (size_t d = 0, i = 0; d < num_devices; ++d) {
    for (size_t o = 0; o < num_outputs_; ++o, ++i) {
      outs[i] =
          std::allocate_shared<Buffer>(small_blocks::Allocator<Buffer>(), devices_[d], results.data()[i]);
    }
    if (num_outputs_ > 0 && owner_->keeps_contents()) launches::note(devices_[d], outs[i - 1]);
  }
}

void Executable::explain_failure(PJRT_Error* error, Buffer* const* args, size_t count) const {
  try {
    owner_->check(error);
  } catch (const PjrtError& e) {
    if (e.code != PJRT_Error_Code_INVALID_ARGUMENT) throw;
    for (size_t i = 0; i < count; ++i) {
      if (!args[i]->deleted()) continue;
      throw DeletedError("execute: argument " + std::to_string(i % (count / devices_.size())) +
                         " was deleted, or donated to another computation");
    }
    throw;
  }
  throw PjrtError(PJRT_Error_Code_UNKNOWN, "UNKNOWN: an execution failed without an error");
}

// ---- questions ----

std::string Executable::name() const {
  Client::Use use(owner_);
  Padded<PJRT_Executable_Name_Args> args;
  args.executable = facts_;
  owner_->check(owner_->api()->PJRT_Executable_Name(&args));
  return std::string(args.executable_name, args.executable_name_size);
}

namespace {
// Runs `fn`, and returns `fallback` if the plugin does not implement what it asks.
template <class T, class Fn>
T unless_unimplemented(T fallback, Fn&& fn) {
  try {
    return fn();
  } catch (const PjrtError& e) {
    if (e.code != PJRT_Error_Code_UNIMPLEMENTED) throw;
    return fallback;
  }
}
}  // namespace

std::string Executable::fingerprint() const {
  Client::Use use(owner_);
  if (!ANIMA_HAS(*owner_->plugin(), PJRT_Executable_Fingerprint)) return "";
  return unless_unimplemented(std::string(), [this] {
    Padded<PJRT_Executable_Fingerprint_Args> args;
    args.executable = facts_;
    owner_->check(owner_->api()->PJRT_Executable_Fingerprint(&args));
    return std::string(args.executable_fingerprint, args.executable_fingerprint_size);
  });
}

std::string Executable::serialize() const {
  Client::Use use(owner_);
  if (!loaded_from_.empty()) return seal(*owner_, loaded_from_.data(), loaded_from_.size());
  Padded<PJRT_Executable_Serialize_Args> args;
  args.executable = facts_;
  owner_->check(owner_->api()->PJRT_Executable_Serialize(&args));
  struct Release {
    PJRT_Executable_Serialize_Args& args;
    ~Release() { args.serialized_executable_deleter(args.serialized_executable); }
  } release{args};
  if (owner_->platform() != "cpu") return seal(*owner_, args.serialized_bytes, args.serialized_bytes_size);
  std::string kept = lean({args.serialized_bytes, args.serialized_bytes_size});
  return seal(*owner_, kept.data(), kept.size());
}

std::string Executable::optimized_program() const {
  bool with_config = false;
  std::string bytes = description(with_config);
  return with_config ? field_of(bytes, kModule, bytes) : bytes;
}

std::string Executable::config() const {
  bool with_config = false;
  std::string bytes = description(with_config);
  return with_config ? field_of(bytes, kConfig, "") : "";
}

std::string Executable::description(bool& with_config) const {
  Client::Use use(owner_);
  Padded<PJRT_Program> program;
  Padded<PJRT_Executable_OptimizedProgram_Args> args;
  args.executable = facts_;
  args.program = &program;
  owner_->check(owner_->api()->PJRT_Executable_OptimizedProgram(&args));
  std::string bytes(program.code_size, '\0');
  program.code = bytes.data();
  owner_->check(owner_->api()->PJRT_Executable_OptimizedProgram(&args));
  with_config = std::string(program.format, program.format_size) == "hlo_with_config";
  return bytes;
}

std::map<std::string, double> Executable::cost_analysis() const {
  Client::Use use(owner_);
  return unless_unimplemented(std::map<std::string, double>(), [this] {
    Padded<PJRT_Executable_GetCostAnalysis_Args> args;
    args.executable = facts_;
    owner_->check(owner_->api()->PJRT_Executable_GetCostAnalysis(&args));
    std::map<std::string, double> out;
    for (const auto& [name, value] : read_named_values(args.properties, args.num_properties)) {
      if (const auto* real = std::get_if<float>(&value)) out[name] = *real;
      if (const auto* number = std::get_if<int64_t>(&value)) out[name] = static_cast<double>(*number);
    }
    return out;
  });
}

std::map<std::string, int64_t> Executable::memory_stats() const {
  Client::Use use(owner_);
  using Stats = std::map<std::string, int64_t>;
  if (!ANIMA_HAS(*owner_->plugin(), PJRT_Executable_GetCompiledMemoryStats)) return {};
  return unless_unimplemented(Stats(), [this] {
    Padded<PJRT_Executable_GetCompiledMemoryStats_Args> args;
    args.executable = facts_;
    owner_->check(owner_->api()->PJRT_Executable_GetCompiledMemoryStats(&args));
    return Stats{{"generated_code_size_in_bytes", args.generated_code_size_in_bytes},
                 {"argument_size_in_bytes", args.argument_size_in_bytes},
                 {"output_size_in_bytes", args.output_size_in_bytes},
                 {"alias_size_in_bytes", args.alias_size_in_bytes},
                 {"temp_size_in_bytes", args.temp_size_in_bytes},
                 {"host_generated_code_size_in_bytes", args.host_generated_code_size_in_bytes},
                 {"host_argument_size_in_bytes", args.host_argument_size_in_bytes},
                 {"host_output_size_in_bytes", args.host_output_size_in_bytes},
                 {"host_alias_size_in_bytes", args.host_alias_size_in_bytes},
                 {"host_temp_size_in_bytes", args.host_temp_size_in_bytes},
                 {"peak_memory_in_bytes", args.peak_memory_in_bytes}};
  });
}

}  // namespace anima
