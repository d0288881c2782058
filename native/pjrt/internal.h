// What the files of this folder share: argument structs, named values, events.
//
// Invariant: every struct handed to a plugin is zeroed, with zeroed bytes behind it, and reports the
// larger size. A plugin newer than our header refuses a struct smaller than its own and reads zeros in
// the fields that we do not know; an older one ignores what lies behind its own.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "pjrt/client.h"

namespace anima {

template <class T>
struct Padded : T {
  static_assert(std::is_standard_layout_v<T> && std::is_trivial_v<T>, "a plain C struct");
  Padded() {
    std::memset(static_cast<void*>(this), 0, sizeof(*this));
    this->struct_size = sizeof(*this);
  }
  unsigned char spare[64];
};

// Whether a Plugin has the function `entry`, which is newer than the table that all have.
#define ANIMA_HAS(plugin, entry) ((plugin).has(offsetof(PJRT_Api, entry)))

Options read_named_values(const PJRT_NamedValue* values, size_t count);
// Views into `options`, which must outlive the result.
std::vector<PJRT_NamedValue> write_named_values(const Options& options);

// All take ownership of `event`. await_event blocks and throws the error that the event carries.
void await_event(const Client& client, PJRT_Event* event);
void destroy_event(const PJRT_Api* api, PJRT_Event* event) noexcept;
// Runs `done` once the event is ready, with whether it is so without an error.
void when_ready(const Client& client, PJRT_Event* event, std::function<void(bool)> done);

// Serialised executables, with what tells whether they are whole. unseal() throws PjrtError if they are not,
// or are another plugin's, and views into `sealed`.
std::string seal(const Client& client, const char* data, size_t size);
std::string_view unseal(const Client& client, const std::string& sealed);
// A serialised executable of a CPU without what running it does not need.
std::string lean(std::string_view executable);

// Throws std::invalid_argument for options that XLA would end the process over.
void check_compile_options(const std::string& options, size_t num_devices);

}  // namespace anima
