// Clients: creation, compiling, transfers in, and taking everything down in order.
//
// Invariant: XLA's client is destroyed only when no operation is under way (`in_use_` is zero and
// `closing_` keeps it there) and after every buffer and executable made by it, since those point into
// it. The one exception is a buffer whose memory someone else still reads (Buffer::hold): it is left
// allocated, unreachable, because nothing could tell that reader to stop.
#include <algorithm>

#include "pjrt/internal.h"
#include "pjrt/timeline.h"

namespace anima {
namespace {

std::atomic<uint64_t> compiles{0};
std::atomic<uint64_t> deserializations{0};

struct Registry {
  std::mutex mutex;
  std::vector<std::shared_ptr<Client>> clients;
};
Registry& registry() {
  static auto* instance = new Registry;  // outlives static destructors
  return *instance;
}

constexpr const char* kForked =
    "this process was forked after XLA had started, and XLA's threads did not survive the fork. Start "
    "child processes with multiprocessing.get_context('spawn'), or fork before the first operation.";

constexpr int64_t kMostDevices = 4096;  // XLA starts threads for each; a million would take the machine down

// Throws std::invalid_argument for counts of CPU devices that XLA would take at their word.
void check_device_count(const Options& options) {
  auto found = options.find("cpu_device_count");
  if (found == options.end()) return;
  const auto* count = std::get_if<int64_t>(&found->second);
  if (count == nullptr || (*count >= 1 && *count <= kMostDevices)) return;
  throw std::invalid_argument("create_client: option 'cpu_device_count' must be between 1 and " +
                              std::to_string(kMostDevices) + ", got " + std::to_string(*count));
}

std::string take(const char* text, size_t size) { return text ? std::string(text, size) : std::string(); }

}  // namespace

uint64_t compile_count() { return compiles.load(); }
uint64_t deserialize_count() { return deserializations.load(); }

// ---- creation ----

std::shared_ptr<Client> Plugin::create_client(const Options& options) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (generation_ < 0) generation_ = fork_generation();
    if (generation_ != fork_generation()) throw ForkError(kForked);
  }
  std::shared_ptr<Client> client = Client::make(shared_from_this(), options);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    platform_ = client->platform_;
  }
  {
    std::lock_guard<std::mutex> lock(registry().mutex);
    registry().clients.push_back(client);
  }
  FirstWait::begin(*client);
  return client;
}

std::shared_ptr<Client> Client::make(std::shared_ptr<Plugin> plugin, const Options& options) {
  check_device_count(options);
  std::vector<PJRT_NamedValue> values = write_named_values(options);
  Padded<PJRT_Client_Create_Args> args;
  args.create_options = values.data();
  args.num_options = values.size();
  try {
    plugin->check(plugin->api()->PJRT_Client_Create(&args));
  } catch (const std::bad_variant_access&) {  // the CPU plugin lets its own exception out
    throw PjrtError(PJRT_Error_Code_INVALID_ARGUMENT,
                    "INVALID_ARGUMENT: an option of the client is not of the type that the plugin expects");
  }

  std::shared_ptr<Client> client(new Client());
  client->api_ = plugin->api();
  client->plugin_ = std::move(plugin);
  client->options_ = options;
  client->raw_ = args.client;
  client->generation_ = fork_generation();
  client->discover();
  if (client->devices_.empty()) {
    throw PjrtError(PJRT_Error_Code_NOT_FOUND,
                    "NOT_FOUND: the plugin " + client->plugin_->path() + " found no devices");
  }
  client->self_ = client;
  return client;
}

void Client::discover() {
  Padded<PJRT_Client_PlatformName_Args> name;
  name.client = raw_;
  check(api_->PJRT_Client_PlatformName(&name));
  platform_ = take(name.platform_name, name.platform_name_size);
  is_cpu_ = platform_ == "cpu";

  Padded<PJRT_Client_PlatformVersion_Args> version;
  version.client = raw_;
  check(api_->PJRT_Client_PlatformVersion(&version));
  version_ = take(version.platform_version, version.platform_version_size);

  Padded<PJRT_Client_ProcessIndex_Args> process;
  process.client = raw_;
  check(api_->PJRT_Client_ProcessIndex(&process));
  process_index_ = process.process_index;

  Padded<PJRT_Client_Devices_Args> devices;
  devices.client = raw_;
  check(api_->PJRT_Client_Devices(&devices));
  for (size_t i = 0; i < devices.num_devices; ++i) devices_.push_back(describe_device(devices.devices[i]));
}

std::unique_ptr<Device> Client::describe_device(PJRT_Device* raw) const {
  auto device = std::make_unique<Device>();
  device->client = const_cast<Client*>(this);
  device->raw = raw;
  device->platform = platform_;

  Padded<PJRT_Device_GetDescription_Args> description;
  description.device = raw;
  check(api_->PJRT_Device_GetDescription(&description));
  Padded<PJRT_DeviceDescription_Id_Args> id;
  id.device_description = description.device_description;
  check(api_->PJRT_DeviceDescription_Id(&id));
  device->id = id.id;
  Padded<PJRT_DeviceDescription_ProcessIndex_Args> process;
  process.device_description = description.device_description;
  check(api_->PJRT_DeviceDescription_ProcessIndex(&process));
  device->process_index = process.process_index;
  Padded<PJRT_DeviceDescription_Kind_Args> kind;
  kind.device_description = description.device_description;
  check(api_->PJRT_DeviceDescription_Kind(&kind));
  device->kind = take(kind.device_kind, kind.device_kind_size);
  Padded<PJRT_DeviceDescription_ToString_Args> text;
  text.device_description = description.device_description;
  check(api_->PJRT_DeviceDescription_ToString(&text));
  device->text = take(text.to_string, text.to_string_size);

  Padded<PJRT_Device_IsAddressable_Args> addressable;
  addressable.device = raw;
  check(api_->PJRT_Device_IsAddressable(&addressable));
  device->addressable = addressable.is_addressable;
  device->local_hardware_id = -1;
  if (device->addressable) {
    Padded<PJRT_Device_LocalHardwareId_Args> local;
    local.device = raw;
    check(api_->PJRT_Device_LocalHardwareId(&local));
    device->local_hardware_id = local.local_hardware_id;
  }
  return device;
}

Client::~Client() {
  // Reached only when creation failed half way: a complete client owns itself.
  if (raw_ != nullptr && in_owner()) dismantle();
}

Device* Client::device_of(PJRT_Device* raw) const {
  for (const auto& device : devices_) {
    if (device->raw == raw) return device.get();
  }
  throw PjrtError(PJRT_Error_Code_INTERNAL,
                  "INTERNAL: the plugin named a device that its client does not list");
}

// ---- compiling ----

ExecutableRef Client::adopt(PJRT_LoadedExecutable* raw) {
  auto executable = std::make_shared<Executable>(self_, raw);
  executable->load_facts();
  return executable;
}

ExecutableRef Client::compile(const std::string& program, const std::string& options) {
  Use use(this);
  check_compile_options(options, devices_.size());
  static constexpr char kFormat[] = "mlir";
  Padded<PJRT_Program> source;
  source.code = const_cast<char*>(program.data());  // the API's one struct serves reading and writing
  source.code_size = program.size();
  source.format = kFormat;
  source.format_size = sizeof(kFormat) - 1;
  Padded<PJRT_Client_Compile_Args> args;
  args.client = raw_;
  args.program = &source;
  args.compile_options = options.data();
  args.compile_options_size = options.size();
  ++compiles;
  check(api_->PJRT_Client_Compile(&args));
  return adopt(args.executable);
}

ExecutableRef Client::deserialize(const std::string& bytes, const std::string& options) {
  Use use(this);
  if (!options.empty()) check_compile_options(options, devices_.size());
  std::string_view payload = unseal(*this, bytes);
  ++deserializations;
  return load_serialized(payload, options);
}

ExecutableRef Client::load_serialized(std::string_view payload, const std::string& options) {
  Use use(this);
  Padded<PJRT_Executable_DeserializeAndLoad_Args> args;
  args.client = raw_;
  args.serialized_executable = payload.data();
  args.serialized_executable_size = payload.size();
  if (!options.empty()) {
    args.overridden_serialized_compile_options = options.data();
    args.overridden_serialized_compile_options_size = options.size();
  }
  check(api_->PJRT_Executable_DeserializeAndLoad(&args));
  ExecutableRef executable = adopt(args.loaded_executable);
  executable->loaded_from_ = payload;
  return executable;
}

// ---- transfers in ----

static bool copies(HostSemantics semantics) {
  return semantics == HostSemantics::kCopy || semantics == HostSemantics::kPassOn;
}

static PJRT_HostBufferSemantics host_semantics(HostSemantics semantics) {
  if (copies(semantics)) return PJRT_HostBufferSemantics_kImmutableOnlyDuringCall;
  if (semantics == HostSemantics::kZeroCopy) return PJRT_HostBufferSemantics_kImmutableZeroCopy;
  return PJRT_HostBufferSemantics_kMutableZeroCopy;
}

PJRT_Client_BufferFromHostBuffer_Args Client::put(const void* data, PJRT_Buffer_Type type,
                                                  const int64_t* dims, size_t num_dims, Device* device,
                                                  HostSemantics semantics) {
  Padded<PJRT_Client_BufferFromHostBuffer_Args> args;
  args.client = raw_;
  args.data = data;
  args.type = type;
  args.dims = dims;
  args.num_dims = num_dims;
  args.device = device->raw;
  args.host_buffer_semantics = host_semantics(semantics);
  check(api_->PJRT_Client_BufferFromHostBuffer(&args));
  return args;
}

BufferRef Client::from_host(const void* data, PJRT_Buffer_Type type, const std::vector<int64_t>& dims,
                            Device* device, HostSemantics semantics, std::function<void()> done) {
  struct Finally {
    std::function<void()>& fn;
    ~Finally() {
      if (fn) fn();
    }
  } finally{done};
  if (device->client != this) {
    throw std::invalid_argument("from_host: the device " + device->text + " belongs to another client");
  }
  Use use(this);
  if (semantics == HostSemantics::kCopy && is_cpu_ && Contents::suits(type, dims)) {
    ContentsRef contents = Contents::make(type, dims);
    Transfer transfer(Moment::kToDevice, device, contents->bytes());
    std::memcpy(contents->data(), data, contents->bytes());
    return std::make_shared<Buffer>(device, std::move(contents));
  }
  // What a CPU takes without a copy stays where it is.
  bool moved = semantics != HostSemantics::kZeroCopy || !is_cpu_;
  Transfer transfer(Moment::kToDevice, device, moved ? dense_bytes(type, dims) : 0);
  auto args = put(data, type, dims.data(), dims.size(), device, semantics);
  auto buffer = std::make_shared<Buffer>(device, args.buffer);
  if (copies(semantics) || !done) {
    destroy_event(api_, args.done_with_host_buffer);
    return buffer;
  }
  when_ready(*this, args.done_with_host_buffer, [free = std::exchange(done, nullptr)](bool) { free(); });
  return buffer;
}

// ---- what keeps a client in use ----

bool Client::try_enter() noexcept {
  if (!in_owner()) return false;
  in_use_.fetch_add(1);
  if (!closing_.load()) return true;
  leave();
  return false;
}

void Client::leave() noexcept {
  if (in_use_.fetch_sub(1) != 1 || !closing_.load()) return;
  // The lock makes sure that close() is either before its test or asleep already.
  {
    std::lock_guard<std::mutex> lock(mutex_);
  }
  changed_.notify_all();
}

void Client::refuse() const {
  if (!in_owner()) throw ForkError(kForked);
  throw PjrtError(PJRT_Error_Code_FAILED_PRECONDITION, "FAILED_PRECONDITION: the " + platform_ +
                                                           " client is closed: its arrays and compiled "
                                                           "functions cannot be used any more");
}

// ---- taking down ----

Handle::Handle(Client* client) : owner_(client) { client->link(this); }

void Client::link(Handle* handle) {
  std::lock_guard<SpinLock> lock(handles_lock_);
  handle->next_ = live_;
  if (live_ != nullptr) live_->previous_ = handle;
  live_ = handle;
  handle->linked_ = true;
}

void Client::unlink(Handle* handle) noexcept {
  (handle->previous_ != nullptr ? handle->previous_->next_ : live_) = handle->next_;
  if (handle->next_ != nullptr) handle->next_->previous_ = handle->previous_;
  handle->linked_ = false;
}

void Client::retire(Handle* handle) noexcept {
  if (!in_owner()) return;
  bool entered = try_enter();
  Remains remains;
  {
    std::lock_guard<SpinLock> lock(handles_lock_);
    if (handle->linked_) {  // else close() has been here
      unlink(handle);
      remains = handle->surrender();
      if (!entered) orphans_.push_back(remains);
    }
  }
  if (!entered) return;
  destroy(remains);
  leave();
}

void Client::destroy(const Remains& remains) const noexcept {
  // Destroying reports no error that anyone could act on.
  auto drop = [this](PJRT_Error* error) {
    if (error == nullptr) return;
    Padded<PJRT_Error_Destroy_Args> args;
    args.error = error;
    api_->PJRT_Error_Destroy(&args);
  };
  if (remains.buffer != nullptr) {
    Padded<PJRT_Buffer_Destroy_Args> args;
    args.buffer = remains.buffer;
    drop(api_->PJRT_Buffer_Destroy(&args));
  }
  if (remains.facts != nullptr) {
    Padded<PJRT_Executable_Destroy_Args> args;
    args.executable = remains.facts;
    drop(api_->PJRT_Executable_Destroy(&args));
  }
  if (remains.loaded != nullptr) {
    Padded<PJRT_LoadedExecutable_Destroy_Args> args;
    args.executable = remains.loaded;
    drop(api_->PJRT_LoadedExecutable_Destroy(&args));
  }
}

void Client::close() {
  if (!in_owner()) return;
  if (CallbackScope::active()) {
    throw PjrtError(PJRT_Error_Code_FAILED_PRECONDITION,
                    "FAILED_PRECONDITION: a client cannot be closed from inside a callback: it would wait "
                    "for the computation that called it");
  }
  std::unique_lock<std::mutex> lock(mutex_);
  if (closing_.exchange(true)) {
    changed_.wait(lock, [this] { return destroyed_; });
    return;
  }
  changed_.wait(lock, [this] { return in_use_.load() == 0; });
  lock.unlock();
  dismantle();
  lock.lock();
  // Nobody takes a twin any more, and what used their memory is gone.
  std::vector<Client*> twins = std::move(twins_);
  lock.unlock();
  for (Client* twin : twins) twin->close();
  lock.lock();
  destroyed_ = true;
  changed_.notify_all();
}

void Client::dismantle() noexcept {
  for (;;) {
    std::vector<Remains> batch;
    {
      std::lock_guard<SpinLock> lock(handles_lock_);
      batch.swap(orphans_);
      while (live_ != nullptr) {
        Handle* handle = live_;
        unlink(handle);
        batch.push_back(handle->surrender());
      }
    }
    if (batch.empty()) break;
    for (const Remains& remains : batch) destroy(remains);
  }
  Padded<PJRT_Client_Destroy_Args> args;
  args.client = std::exchange(raw_, nullptr);
  PJRT_Error* error = api_->PJRT_Client_Destroy(&args);
  if (error == nullptr) return;
  Padded<PJRT_Error_Destroy_Args> drop;
  drop.error = error;
  api_->PJRT_Error_Destroy(&drop);
}

void close_all_clients() noexcept {
  std::vector<std::shared_ptr<Client>> clients;
  {
    std::lock_guard<std::mutex> lock(registry().mutex);
    clients = registry().clients;
  }
  for (const auto& client : clients) {
    try {
      client->close();
    } catch (const std::exception&) {
      // Inside a callback: the process ends with that client open, which its caller asked for.
    }
  }
}

}  // namespace anima
