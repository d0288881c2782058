// Events and named values: the small change of the PJRT API.
#include <memory>

#include "pjrt/internal.h"

namespace anima {

void destroy_event(const PJRT_Api* api, PJRT_Event* event) noexcept {
  if (event == nullptr) return;
  Padded<PJRT_Event_Destroy_Args> args;
  args.event = event;
  PJRT_Error* error = api->PJRT_Event_Destroy(&args);
  if (error == nullptr) return;
  Padded<PJRT_Error_Destroy_Args> drop;
  drop.error = error;
  api->PJRT_Error_Destroy(&drop);
}

void await_event(const Client& client, PJRT_Event* event) {
  if (event == nullptr) return;
  Padded<PJRT_Event_Await_Args> args;
  args.event = event;
  PJRT_Error* error = client.api()->PJRT_Event_Await(&args);
  destroy_event(client.api(), event);
  client.check(error);
}

void when_ready(const Client& client, PJRT_Event* event, std::function<void(bool)> done) {
  struct Pending {
    const PJRT_Api* api;
    std::function<void(bool)> done;
  };
  auto pending = std::make_unique<Pending>(Pending{client.api(), std::move(done)});
  Padded<PJRT_Event_OnReady_Args> args;
  args.event = event;
  args.user_arg = pending.get();
  args.callback = [](PJRT_Error* error, void* user_arg) {
    std::unique_ptr<Pending> mine(static_cast<Pending*>(user_arg));
    if (error != nullptr) {
      Padded<PJRT_Error_Destroy_Args> drop;
      drop.error = error;
      mine->api->PJRT_Error_Destroy(&drop);
    }
    mine->done(error == nullptr);
  };
  PJRT_Error* error = client.api()->PJRT_Event_OnReady(&args);
  if (error == nullptr) pending.release();  // the callback owns it, and may have run already
  destroy_event(client.api(), event);
  if (pending) pending->done(false);
  client.check(error);
}

Options read_named_values(const PJRT_NamedValue* values, size_t count) {
  Options out;
  const char* at = reinterpret_cast<const char*>(values);
  for (size_t i = 0; i < count; ++i) {
    const PJRT_NamedValue& v = *reinterpret_cast<const PJRT_NamedValue*>(at);
    // A newer plugin's entries may be longer than ours.
    at += std::max(sizeof(PJRT_NamedValue), (v.struct_size + alignof(PJRT_NamedValue) - 1) /
                                                alignof(PJRT_NamedValue) * alignof(PJRT_NamedValue));
    OptionValue& slot = out[std::string(v.name, v.name_size)];
    switch (v.type) {
      case PJRT_NamedValue_kString:
        slot = std::string(v.string_value, v.value_size);
        break;
      case PJRT_NamedValue_kInt64:
        slot = v.int64_value;
        break;
      case PJRT_NamedValue_kInt64List:
        slot = std::vector<int64_t>(v.int64_array_value, v.int64_array_value + v.value_size);
        break;
      case PJRT_NamedValue_kFloat:
        slot = v.float_value;
        break;
      case PJRT_NamedValue_kBool:
        slot = v.bool_value;
        break;
    }
  }
  return out;
}

std::vector<PJRT_NamedValue> write_named_values(const Options& options) {
  std::vector<PJRT_NamedValue> out;
  for (const auto& [name, value] : options) {
    PJRT_NamedValue entry{};
    // No spare bytes here: the plugin steps through this array by the size of its own struct.
    entry.struct_size = PJRT_NamedValue_STRUCT_SIZE;
    entry.name = name.data();
    entry.name_size = name.size();
    entry.value_size = 1;
    if (const auto* flag = std::get_if<bool>(&value)) {
      entry.type = PJRT_NamedValue_kBool;
      entry.bool_value = *flag;
    } else if (const auto* number = std::get_if<int64_t>(&value)) {
      entry.type = PJRT_NamedValue_kInt64;
      entry.int64_value = *number;
    } else if (const auto* real = std::get_if<float>(&value)) {
      entry.type = PJRT_NamedValue_kFloat;
      entry.float_value = *real;
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      entry.type = PJRT_NamedValue_kString;
      entry.string_value = text->data();
      entry.value_size = text->size();
    } else {
      const auto& list = std::get<std::vector<int64_t>>(value);
      entry.type = PJRT_NamedValue_kInt64List;
      entry.int64_array_value = list.data();
      entry.value_size = list.size();
    }
    out.push_back(entry);
  }
  return out;
}

}  // namespace anima
