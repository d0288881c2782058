// Loading plugin libraries: what is checked before a function of theirs is called.
//
// Invariant: a Plugin in the registry has passed check_table(), so every function of the base table
// exists; whatever was added to the API later is asked for with has().
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "pjrt/internal.h"

namespace anima {
namespace {

std::atomic<int> forks{0};
[[maybe_unused]] const int at_fork = pthread_atfork(nullptr, nullptr, [] { ++forks; });

const char* code_name(PJRT_Error_Code code) {
  static constexpr const char* names[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  size_t index = static_cast<size_t>(code);
  return index < std::size(names) ? names[index] : "UNKNOWN";
}

void check_table(const PJRT_Api* api, const std::string& path) {
  if (api == nullptr) throw PluginError("the PJRT plugin " + path + " returned no function table");
  const PJRT_Api_Version& version = api->pjrt_api_version;
  std::string found = std::to_string(version.major_version) + "." + std::to_string(version.minor_version);
  if (version.major_version != PJRT_API_MAJOR) {
    throw PluginError("the PJRT plugin " + path + " speaks PJRT " + found + "; this build needs " +
                      std::to_string(PJRT_API_MAJOR) + ".x. Install versions that fit together.");
  }
  // PJRT_Compile ends the part of the table that every plugin of this major version has.
  if (api->struct_size < offsetof(PJRT_Api, PJRT_Compile) + sizeof(void*)) {
    throw PluginError("the PJRT plugin " + path + " is too old: it speaks PJRT " + found +
                      " and lacks functions that are needed. Install a newer release of it.");
  }
}

// Threads that load libraries ahead, and the process in which they do; guarded by the GIL.
struct Loading {
  std::thread thread;
  int generation;
};

std::vector<Loading>& loading() {
  static auto* made = new std::vector<Loading>;
  return *made;
}

void* map_library(const char* path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE); }

// XLA reads this when its library is loaded; without it a client's creation prints to stderr.
void silence_xla() { setenv("TF_CPP_MIN_LOG_LEVEL", "3", /*overwrite=*/0); }

const PJRT_Api* open_library(const std::string& path) {
  void* library = map_library(path.c_str());
  if (library == nullptr) {
    const char* reason = dlerror();
    throw PluginError("cannot load the PJRT plugin " + path + ": " + (reason ? reason : "no reason given"));
  }
  void* entry = dlsym(library, "GetPjrtApi");
  if (entry == nullptr) {
    throw PluginError("the library " + path + " is no PJRT plugin: it exports no function GetPjrtApi");
  }
  return reinterpret_cast<const PJRT_Api* (*)()>(entry)();
}

}  // namespace

void prefetch_library(const std::string& path) {
  silence_xla();
  // Who needs the library opens it again, which waits for the loader's own lock.
  std::thread thread([path] { map_library(path.c_str()); });
  loading().push_back({std::move(thread), fork_generation()});
}

void await_prefetched() {
  for (Loading& one : std::exchange(loading(), {})) {
    if (one.generation == fork_generation()) {
      one.thread.join();
    } else {
      static_cast<void>(new std::thread(std::move(one.thread)));  // not there: left as it is
    }
  }
}

int fork_generation() { return forks.load(std::memory_order_relaxed); }

std::shared_ptr<Plugin> Plugin::load(const std::string& path) {
  static auto* mutex = new std::mutex;  // both outlive static destructors: threads may still run then
  static auto* loaded = new std::map<std::string, std::shared_ptr<Plugin>>;
  char* resolved = realpath(path.c_str(), nullptr);
  std::string key = resolved != nullptr ? resolved : path;
  std::free(resolved);

  std::lock_guard<std::mutex> lock(*mutex);
  auto found = loaded->find(key);
  if (found != loaded->end()) return found->second;
  silence_xla();
  std::shared_ptr<Plugin> plugin(new Plugin());
  plugin->path_ = key;
  plugin->api_ = open_library(key);
  check_table(plugin->api_, key);
  plugin->initialize();
  (*loaded)[key] = plugin;
  return plugin;
}

void Plugin::initialize() const {
  Padded<PJRT_Plugin_Initialize_Args> args;
  try {
    check(api_->PJRT_Plugin_Initialize(&args));
  } catch (const PjrtError& e) {
    throw PluginError("the PJRT plugin " + path_ + " failed to start: " + e.what());
  }
}

std::pair<int, int> Plugin::api_version() const {
  return {api_->pjrt_api_version.major_version, api_->pjrt_api_version.minor_version};
}

Options Plugin::attributes() const {
  Padded<PJRT_Plugin_Attributes_Args> args;
  check(api_->PJRT_Plugin_Attributes(&args));
  return read_named_values(args.attributes, args.num_attributes);
}

const PJRT_Extension_Base* Plugin::extension(int type) const {
  const PJRT_Extension_Base* entry = api_->extension_start;
  while (entry != nullptr && static_cast<int>(entry->type) != type) entry = entry->next;
  return entry;
}

bool Plugin::has(size_t offset) const {
  if (api_->struct_size < offset + sizeof(void*)) return false;
  void* entry;
  std::memcpy(&entry, reinterpret_cast<const char*>(api_) + offset, sizeof(entry));
  return entry != nullptr;
}

std::string Plugin::platform() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return platform_;
}

void Plugin::fail(PJRT_Error* error) const {
  Padded<PJRT_Error_Message_Args> message;
  message.error = error;
  api_->PJRT_Error_Message(&message);
  Padded<PJRT_Error_GetCode_Args> code;
  code.error = error;
  PJRT_Error_Code value = PJRT_Error_Code_UNKNOWN;
  // The code's own error, if there is one, says nothing that the caller could use.
  PJRT_Error* nested = api_->PJRT_Error_GetCode(&code);
  if (nested == nullptr) value = code.code;
  std::string text =
      std::string(code_name(value)) + ": " + std::string(message.message, message.message_size);
  for (PJRT_Error* e : {error, nested}) {
    Padded<PJRT_Error_Destroy_Args> args;
    args.error = e;
    if (e != nullptr) api_->PJRT_Error_Destroy(&args);
  }
  throw PjrtError(value, std::move(text));
}

}  // namespace anima
