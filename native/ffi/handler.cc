// Registering handlers with a plugin, and what every handler needs.
#include "ffi/handler.h"

#include <cstddef>
#include <cstring>
#include <mutex>
#include <tuple>
#include <utility>

#include "pjrt/internal.h"

namespace anima::ffi {
namespace {

// The function table of the plugin whose registration is under way in this thread.
thread_local const Api* seen_api = nullptr;

Error* probe(CallFrame* frame) {
  seen_api = frame->api;
  answer_metadata(*frame);
  return nullptr;
}

constexpr int kOldestMinor = 81;  // of the PJRT versions whose registration struct is known to be ours

const PjrtFfiExtension& extension_of(const Plugin& plugin) {
  if (plugin.api_version().second < kOldestMinor) {
    throw PluginError(
        "the PJRT plugin " + plugin.path() + " is too old for custom calls of ours: it speaks " + "PJRT 0." +
        std::to_string(plugin.api_version().second) + ", they need 0." + std::to_string(kOldestMinor));
  }
  const auto* found = reinterpret_cast<const PjrtFfiExtension*>(plugin.extension(PJRT_Extension_Type_FFI));
  if (found == nullptr || found->base.struct_size < sizeof(PjrtFfiExtension) ||
      found->register_handler == nullptr) {
    throw PluginError("the PJRT plugin " + plugin.path() +
                      " has no FFI extension, so no custom call can be registered with it");
  }
  return *found;
}

void register_single(const Plugin& plugin, const std::string& name, const std::string& platform,
                     Handler* function) {
  Padded<PjrtRegisterHandlerArgs> args;
  args.name = name.data();
  args.name_size = name.size();
  args.handler = reinterpret_cast<void*>(function);
  args.platform = platform.data();
  args.platform_size = platform.size();
  plugin.check(extension_of(plugin).register_handler(&args));
}

// XLA's own function table, which only a call frame shows. Asking for it also proves that handlers
// arrive: a plugin that reads the registration struct differently would never ask ours for its metadata.
const Api* ask_for_api(const Plugin& plugin, const std::string& platform) {
  seen_api = nullptr;
  register_single(plugin, "anima_probe", platform, &probe);
  if (seen_api == nullptr) {
    throw PluginError("the PJRT plugin " + plugin.path() + " did not accept an FFI handler for " + platform);
  }
  return seen_api;
}

void check(const Api* api, Error* error, const std::string& what) {
  if (error == nullptr) return;
  ErrorMessageArgs message{sizeof(ErrorMessageArgs), nullptr, error, nullptr};
  api->error_message(&message);
  std::string text = message.message;
  ErrorDestroyArgs destroy{sizeof(ErrorDestroyArgs), nullptr, error};
  api->error_destroy(&destroy);
  throw PluginError(what + text);
}

// By XLA's table: the PJRT extension takes one function a handler, and keeps to itself why it refuses one.
void register_stages(const Api* api, const std::string& name, const std::string& platform,
                     const HandlerBundle& bundle) {
  HandlerRegisterArgs args{};
  args.struct_size = sizeof(args);
  args.name = {name.data(), name.size()};
  args.platform = {platform.data(), platform.size()};
  args.bundle = bundle;
  check(api, api->handler_register(&args), "registering the FFI target '" + name + "' failed: ");
}

}  // namespace

Error* make_error(const CallFrame& frame, PJRT_Error_Code code, const char* message) noexcept {
  ErrorCreateArgs args{sizeof(ErrorCreateArgs), nullptr, message, static_cast<ErrorCode>(code)};
  return frame.api->error_create(&args);
}

bool answer_metadata(CallFrame& frame) noexcept {
  for (Extension* e = frame.extensions; e != nullptr; e = e->next) {
    if (e->type != kMetadata) continue;
    Metadata* metadata = reinterpret_cast<MetadataExtension*>(e)->metadata;
    metadata->api_version.major_version = frame.api->version.major_version;
    metadata->api_version.minor_version = frame.api->version.minor_version;
    return true;
  }
  return false;
}

Error* error_in_flight(const CallFrame& frame) noexcept {
  try {
    throw;
  } catch (const PjrtError& e) {
    return make_error(frame, e.code, e.what());
  } catch (const std::bad_alloc&) {
    return make_error(frame, PJRT_Error_Code_RESOURCE_EXHAUSTED, "out of memory in a kernel");
  } catch (const std::exception& e) {
    return make_error(frame, PJRT_Error_Code_INTERNAL, e.what());
  } catch (...) {
    return make_error(frame, PJRT_Error_Code_INTERNAL, "an unknown C++ exception in a kernel");
  }
}

PJRT_Buffer_Type pjrt_type(DataType type) {
  if (type == DataType::kToken) return PJRT_Buffer_Type_TOKEN;
  return type_of_xla(static_cast<int>(type));
}

void register_handler(Plugin& plugin, const std::string& name, const std::string& platform,
                      const HandlerBundle& bundle) {
  using Key = std::tuple<const Plugin*, std::string, std::string>;
  static auto* mutex = new std::mutex;  // both outlive static destructors
  static auto* registered = new std::map<Key, HandlerBundle>;
  std::lock_guard<std::mutex> lock(*mutex);
  Key key{&plugin, platform, name};
  auto found = registered->find(key);
  if (found != registered->end()) {
    if (std::memcmp(&found->second, &bundle, sizeof(bundle)) == 0) return;
    throw PluginError("the FFI target '" + name + "' is registered for " + platform +
                      " already, with another handler; give the new one another name");
  }
  register_stages(ask_for_api(plugin, platform), name, platform, bundle);
  (*registered)[key] = bundle;
}

void register_type(Plugin& plugin, const std::string& name, const std::string& platform, TypeId* id,
                   const TypeInfo* info) {
  const Api* api = ask_for_api(plugin, platform);
  if (api->struct_size < offsetof(Api, type_register) + sizeof(api->type_register) ||
      api->type_register == nullptr) {
    throw PluginError("the PJRT plugin " + plugin.path() + " registers no types");
  }
  TypeInfo none{sizeof(TypeInfo), nullptr, nullptr};
  TypeRegisterArgs args{};
  args.struct_size = sizeof(args);
  args.name = {name.data(), name.size()};
  args.type_id = id;
  args.info = info == nullptr ? &none : info;
  check(api, api->type_register(&args), "registering the FFI type '" + name + "' failed: ");
}

bool register_batch_partitionable(const Plugin& plugin, const std::string& name) {
  const auto* found = reinterpret_cast<const PjrtPartitionerExtension*>(
      plugin.extension(PJRT_Extension_Type_Custom_Partitioner));
  if (found == nullptr || found->base.struct_size < sizeof(PjrtPartitionerExtension) ||
      found->register_batch_partitionable == nullptr) {
    return false;
  }
  Padded<PjrtBatchPartitionableArgs> args;
  args.name = name.data();
  args.name_size = name.size();
  plugin.check(found->register_batch_partitionable(&args));
  return true;
}

}  // namespace anima::ffi
