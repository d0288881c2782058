// Handles over the PJRT C API: plugin, client, device, buffer, executable.
//
// Invariant: a handle outlives whatever it points into, destroying one never needs the GIL, and after
// Client::close() every handle is inert: its operations throw, its destructor does nothing. Clients
// (the shells, not XLA's objects behind them) live as long as the process, so a Client* or Device* is
// always valid. In a forked child every operation throws ForkError and every destructor does nothing.
// Functions marked [blocking] must be called with the GIL released; remove() releases it itself.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/spin_lock.h"
#include "pjrt/contents.h"
#include "pjrt_c_api.h"

namespace anima {

// A failure reported by XLA (code is a PJRT_Error_Code) or found by a check of ours.
// Raised in Python as the class registered through set_error_class(), with `.code` set.
class PjrtError : public std::runtime_error {
 public:
  PjrtError(PJRT_Error_Code code, std::string message) : std::runtime_error(std::move(message)), code(code) {}
  PJRT_Error_Code code;
};
// A buffer that was deleted or donated is used.
struct DeletedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The process was forked after XLA had started: its threads did not come along.
struct ForkError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// A plugin library cannot be loaded, is too old, or lacks what is asked of it.
struct PluginError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Client;
class Device;

using OptionValue = std::variant<bool, int64_t, float, std::string, std::vector<int64_t>>;
using Options = std::map<std::string, OptionValue>;  // a PJRT "named value" list

// Begins to load a library in a thread of its own; whether that fails is for Plugin::load to say.
void prefetch_library(const std::string& path);

// Waits for such threads. A process that ends while a library is being loaded destroys what that one builds.
void await_prefetched();

// How often this process is the child of a fork: a handle made before the last fork may not be used.
int fork_generation();

// A loaded plugin library. Libraries are never unloaded (XLA keeps threads and statics).
class Plugin : public std::enable_shared_from_this<Plugin> {
 public:
  // Loads the library at `path`, or returns what was loaded from there before. [blocking]
  static std::shared_ptr<Plugin> load(const std::string& path);
  std::shared_ptr<Client> create_client(const Options& options);  // [blocking]
  std::pair<int, int> api_version() const;                        // major, minor that the plugin reports
  Options attributes() const;
  const PJRT_Api* api() const { return api_; }
  const std::string& path() const { return path_; }
  // The extension struct of this type in the plugin's chain, or nullptr.
  const PJRT_Extension_Base* extension(int type) const;
  // Throws PjrtError and frees `error` if it is not null.
  void check(PJRT_Error* error) const {
    if (error != nullptr) fail(error);
  }
  // True if the plugin's function table is long enough to hold the entry at `offset`, and has it.
  bool has(size_t offset_in_api) const;
  // The platform of the clients made from this plugin ("cpu", "cuda", ...), empty before the first.
  std::string platform() const;

 private:
  friend class Client;
  Plugin() = default;
  [[noreturn]] void fail(PJRT_Error* error) const;
  void initialize() const;

  std::string path_;
  const PJRT_Api* api_ = nullptr;
  mutable std::mutex mutex_;  // guards what follows
  std::string platform_;
  int generation_ = -1;  // fork_generation() when the first client was made
};

// XLA's objects behind a handle, on their way to being destroyed. Null where there is none.
struct Remains {
  PJRT_Buffer* buffer = nullptr;
  PJRT_LoadedExecutable* loaded = nullptr;
  PJRT_Executable* facts = nullptr;
};

// What a client takes down before it goes: an entry of its list of live buffers and executables.
class Handle {
 public:
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

 protected:
  explicit Handle(Client* client);
  ~Handle() = default;
  // Gives up what the handle owns; runs under the client's lock, so it may not call XLA.
  virtual Remains surrender() noexcept = 0;
  Client* const owner_;

 private:
  friend class Client;
  bool linked_ = false;
  Handle* previous_ = nullptr;
  Handle* next_ = nullptr;
};

// One buffer on one device. A small one of a CPU may have its contents here, and then XLA has none until
// it is asked to do something with it.
class Buffer final : private Handle, public std::enable_shared_from_this<Buffer> {
 public:
  // Takes ownership of `raw`.
  Buffer(std::shared_ptr<Client> client, Device* device, PJRT_Buffer* raw);
  Buffer(Device* device, PJRT_Buffer* raw);
  Buffer(Device* device, ContentsRef contents);
  ~Buffer();
  const std::shared_ptr<Client>& client() const;
  Device* device() const { return device_; }
  void await_ready();  // [blocking] throws the error that the producing computation ended with
  bool is_ready();     // true also if that computation failed
  // `done` runs once the buffer is ready, or known never to be, on any thread, perhaps before this returns.
  void on_ready(std::function<void()> done);
  // True once await_ready() has succeeded; it then never waits again.
  bool known_ready() const { return ready_.load(std::memory_order_acquire); }
  void remove();         // frees the device memory; later use throws. Idempotent.
  bool deleted() const;  // by remove(), by a donation, or because the client is closed
  size_t bytes_on_device();
  PJRT_Buffer_Type type() const;
  std::vector<int64_t> dims() const;
  // Address of the data on the device (CPU: host memory, 64-byte aligned). Valid once ready.
  void* unsafe_pointer();
  // The same where that is host memory and can be read now, without waiting; otherwise null. To be called
  // inside a Client::Use, for as long as which the address is valid if nobody donates the buffer meanwhile.
  const void* readable();
  // While at least one hold is taken the memory stays in place: a donation copies instead, and
  // closing the client leaves it allocated. unhold() after the client is closed does nothing.
  void hold();
  void unhold();
  std::shared_ptr<Buffer> copy_to(Device* device);  // [blocking]
  void copy_to_host(void* out, size_t bytes);       // [blocking] dense row-major
  // The same without waiting: `done` runs when `out` is no longer written to, on any thread, perhaps
  // before this returns, and is told whether the copy is complete. It does not run if this throws.
  void begin_copy_to_host(void* out, size_t bytes, std::function<void(bool)> done);

 private:
  friend class Executable;
  Remains surrender() noexcept override;
  void check_live() const;                        // to be called inside a Client::Use
  PJRT_Event* copy_out(void* out, size_t bytes);  // likewise
  PJRT_Event* ready_event();                      // likewise
  PJRT_Buffer* raw() {                            // likewise
    PJRT_Buffer* known = raw_.load(std::memory_order_acquire);
    return known != nullptr ? known : make_raw();
  }
  PJRT_Buffer* make_raw();
  PJRT_Error* delete_raw(PJRT_Buffer* raw) const;

  Device* device_;
  std::atomic<PJRT_Buffer*>
      raw_;  // null as long as only the contents are here, and once the client has taken it down
  const ContentsRef contents_;                 // null if XLA made the buffer
  std::atomic<const void*> address_{nullptr};  // of what XLA made, once readable() has found it
  std::atomic<int> holds_{0};
  std::atomic<bool> ready_{false};  // ready without an error: no need to ask again
  std::atomic<bool> removed_{false};
};
using BufferRef = std::shared_ptr<Buffer>;

// Holds a buffer for a scope, in which its contents can be read in place.
class InPlace {
 public:
  explicit InPlace(BufferRef buffer) : buffer_(std::move(buffer)) { buffer_->hold(); }
  ~InPlace() {
    try {
      buffer_->unhold();
    } catch (const std::exception&) {
      // The plugin has lost count of its own buffer; a destructor has nobody to tell.
    }
  }
  InPlace(const InPlace&) = delete;
  InPlace& operator=(const InPlace&) = delete;
  void* address() const { return buffer_->unsafe_pointer(); }

 private:
  BufferRef buffer_;
};

class Device {
 public:
  Client* client;  // owner; devices live exactly as long as their client
  PJRT_Device* raw;
  int id;
  int process_index;
  int local_hardware_id;
  bool addressable;
  std::string kind;                                     // "cpu", "NVIDIA H200", ...
  std::string platform;                                 // the client's platform name
  std::string text;                                     // what describe() says
  const std::string& describe() const { return text; }  // "CpuDevice(id=0)"
  std::map<std::string, int64_t> memory_stats() const;  // empty if the plugin has none
  Options attributes() const;                           // what the plugin says of the device
};

enum class HostSemantics {
  kCopy,      // the source may change as soon as the call returns
  kPassOn,    // as kCopy, and a program takes the buffer next: it had better be XLA's own
  kZeroCopy,  // the source is 64-byte aligned, kept alive and unchanged until `done` runs
  kGiven,     // as kZeroCopy, and nobody else reads the source: a donation may write to it
};

// What a program takes in one place.
struct Parameter {
  PJRT_Buffer_Type type;
  std::vector<int64_t> dims;
};

class Executable final : private Handle {
 public:
  // Takes ownership of `raw`.
  Executable(std::shared_ptr<Client> client, PJRT_LoadedExecutable* raw);
  ~Executable();
  size_t num_outputs() const { return num_outputs_; }
  const std::vector<Device*>& devices() const { return devices_; }  // one a partition
  const std::shared_ptr<Client>& client() const;
  std::string name() const;
  std::string fingerprint() const;        // empty if the plugin has none
  std::string serialize() const;          // [blocking] for Client::deserialize
  std::string optimized_program() const;  // [blocking] serialised HloModuleProto
  std::string config() const;  // [blocking] serialised HloModuleConfigProto; empty if it is not told
  std::map<std::string, double> cost_analysis() const;  // empty if the plugin has none
  std::map<std::string, int64_t> memory_stats() const;  // empty if the plugin has none
  // args[d * num_args + i] is argument i of device d; outs likewise, filled with num_outputs each.
  // Donated arguments are those the program aliases; `non_donatable` lists argument indices that
  // must not be. The device, liveness, count and byte sizes of the arguments are checked. [blocking]
  // From inside a callback this runs elsewhere and waits: see CallbackScope.
  void execute(Buffer* const* args, size_t num_args, const std::vector<int64_t>& non_donatable,
               BufferRef* outs);
  // Throws std::invalid_argument unless these are the arguments that a program on several devices takes,
  // as far as the plugin tells. To be asked before the first execute() with arguments of these shapes.
  // [blocking]
  void check_arguments(Buffer* const* args, size_t num_args);
  uint64_t executions() const { return executions_.load(std::memory_order_relaxed); }

 private:
  friend class Client;
  Remains surrender() noexcept override;
  void load_facts();
  std::string description(bool& with_config) const;  // what the plugin tells of the optimised program
  void launch(Buffer* const* args, size_t num_args, const std::vector<int64_t>& non_donatable,
              BufferRef* outs);
  void run_on_twin(Client* twin, Buffer* const* args, size_t num_args, BufferRef* outs);
  std::shared_ptr<Executable> twin_on(Client* twin);
  void check_devices(Buffer* const* args, size_t num_args) const;
  void check_partitioned_launch(Buffer* const* args, size_t num_args) const;
  [[noreturn]] void explain_failure(PJRT_Error* error, Buffer* const* args, size_t num_args) const;

  PJRT_LoadedExecutable* raw_;        // null once the client has taken it down
  PJRT_Executable* facts_ = nullptr;  // the part that answers questions
  std::vector<Device*> devices_;
  size_t num_outputs_ = 0;
  std::string loaded_from_;  // XLA cannot serialise again what it has loaded
  std::atomic<uint64_t> executions_{0};
  std::mutex mutex_;  // guards what follows
  std::map<Client*, std::shared_ptr<Executable>> twins_;
  std::optional<std::vector<Parameter>> parameters_;  // of each device, once they were asked for
};
using ExecutableRef = std::shared_ptr<Executable>;

class Client : public std::enable_shared_from_this<Client> {
 public:
  // An operation under way: while one exists, close() waits. Throws once closing has begun, and in a
  // forked child.
  class Use {
   public:
    explicit Use(Client* client) : client_(client) { client->enter(); }
    ~Use() { client_->leave(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    Client* client_;
  };

  ~Client();
  const std::shared_ptr<Plugin>& plugin() const { return plugin_; }
  const PJRT_Api* api() const { return api_; }
  void check(PJRT_Error* error) const { plugin_->check(error); }
  const std::string& platform() const { return platform_; }
  const std::string& platform_version() const { return version_; }
  int process_index() const { return process_index_; }
  const std::vector<std::unique_ptr<Device>>& devices() const { return devices_; }
  Device* device_of(PJRT_Device* raw) const;
  const std::shared_ptr<Client>& self() const { return self_; }

  // Compiles StableHLO text; `options` is a serialised CompileOptionsProto. [blocking]
  ExecutableRef compile(const std::string& program, const std::string& options);
  // `bytes` as Executable::serialize() made them; others are refused.
  ExecutableRef deserialize(const std::string& bytes, const std::string& options);  // [blocking]
  // `dims` row-major and dense. `done` (may be empty) runs exactly once, also if this throws: when
  // the source is free again, on any thread, perhaps before this returns. It may not assume that the
  // GIL is held or not held. [blocking for large arrays]
  BufferRef from_host(const void* data, PJRT_Buffer_Type type, const std::vector<int64_t>& dims,
                      Device* device, HostSemantics semantics, std::function<void()> done);
  // Whether small arrays on this client may be kept as Contents: its devices read the host's memory.
  bool keeps_contents() const { return is_cpu_; }
  void close();  // drains pending work, then destroys. Idempotent. [blocking]
  bool closed() const { return closing_.load(std::memory_order_acquire); }
  // True in the process that made the client, false in a forked child of it.
  bool in_owner() const { return generation_ == fork_generation(); }

 private:
  friend class Plugin;
  friend class Handle;
  friend class Buffer;
  friend class Executable;
  friend class CallbackScope;
  friend class FirstWait;
  Client() = default;
  bool try_enter() noexcept;
  void enter() {
    if (!try_enter()) refuse();
  }
  void leave() noexcept;
  [[noreturn]] void refuse() const;
  void discover();  // fills in the platform and the devices
  std::unique_ptr<Device> describe_device(PJRT_Device* raw) const;
  PJRT_Client_BufferFromHostBuffer_Args put(const void* data, PJRT_Buffer_Type type, const int64_t* dims,
                                            size_t num_dims, Device* device, HostSemantics semantics);
  ExecutableRef adopt(PJRT_LoadedExecutable* raw);
  ExecutableRef load_serialized(std::string_view payload, const std::string& options);
  void link(Handle* handle);
  void unlink(Handle* handle) noexcept;  // under handles_lock_
  // Ends a handle: destroys what it owns, or leaves that to a close() under way.
  void retire(Handle* handle) noexcept;
  void destroy(const Remains& remains) const noexcept;
  void dismantle() noexcept;  // every live handle, then the client itself

  static std::shared_ptr<Client> make(std::shared_ptr<Plugin> plugin, const Options& options);
  // A launch on several devices has failed half way: see partitioned.cc.
  void note_failed_launch() noexcept { stuck_.store(true); }

  Client* take_twin();
  void give_twin(Client* twin);

  std::shared_ptr<Plugin> plugin_;
  Options options_;
  std::shared_ptr<Client> self_;  // clients are immortal: see the invariant
  const PJRT_Api* api_ = nullptr;
  PJRT_Client* raw_ = nullptr;
  std::string platform_, version_;
  bool is_cpu_ = false;
  int process_index_ = 0;
  int generation_ = 0;
  std::vector<std::unique_ptr<Device>> devices_;

  std::atomic<int64_t> in_use_{0};
  std::atomic<bool> closing_{false};
  std::atomic<bool> stuck_{false};
  SpinLock handles_lock_;  // guards the two that follow
  Handle* live_ = nullptr;
  std::vector<Remains> orphans_;  // of handles that died while close() was under way
  std::mutex mutex_;              // guards what follows
  std::condition_variable changed_;
  bool destroyed_ = false;
  std::vector<Client*> twins_;       // all that were made
  std::vector<Client*> idle_twins_;  // those that no callback uses
};

// The first thread that has to wait for XLA has it measure the frequency of the processor, for which it
// sleeps 3 to 7 ms, once in a process. With this a thread of ours does that while the program is busy with
// other things.
class FirstWait {
 public:
  // To be called with each client that was made: the first one of processors counts.
  static void begin(Client& client);

 private:
  class Transfer;
  static void run(Client& client) noexcept;
};

void close_all_clients() noexcept;  // [blocking]
// How often this process has compiled, and has loaded a serialised executable.
uint64_t compile_count();
uint64_t deserialize_count();

// Marks the calling thread as one that runs code on behalf of an execution, for as long as it lives.
//
// XLA's CPU client runs the asynchronous executions of a device one after the other, so a program that
// a callback launches on the same device would wait for the callback's own execution, and that for the
// callback. What is executed inside a scope therefore runs on a twin of the client: one with the same
// options, which this scope has for itself, reading and writing the same memory. (An execution that XLA
// runs on the launching thread blocks no device, so a callback called there needs no twin.)
class CallbackScope {
 public:
  CallbackScope();
  ~CallbackScope();
  CallbackScope(const CallbackScope&) = delete;
  CallbackScope& operator=(const CallbackScope&) = delete;
  static bool active();  // in this thread

 private:
  friend class Executable;
  Client* twin_of(Client* client);

  CallbackScope* enclosing_;
  std::vector<std::pair<Client*, Client*>> twins_;  // (client, its twin)
};

size_t bits_of(PJRT_Buffer_Type type);        // bits an element; 0 if unknown
const char* name_of(PJRT_Buffer_Type type);   // "f32", "s8", ...; "unknown" if so
PJRT_Buffer_Type type_of_code(long code);     // INVALID if it is the number of no type
PJRT_Buffer_Type type_of_xla(int primitive);  // xla.PrimitiveType has other numbers; INVALID if unknown
std::string describe(PJRT_Buffer_Type type, const std::vector<int64_t>& dims);  // "f32[2,3]"
size_t dense_bytes(PJRT_Buffer_Type type, const std::vector<int64_t>& dims);    // checks overflow

}  // namespace anima
