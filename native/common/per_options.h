// What depends on the options in force, asked for once for each combination of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/thread_state.h"

namespace anima {

// Of the latest combinations. Used with the GIL held.
template <class T>
class PerOptions {
 public:
  // The value for the options in force; find() may run Python code.
  template <class Find>
  T get(Find&& find) {
    const int64_t options = options_key();
    Known& known = known_[static_cast<size_t>(options) % kMost];
    if (known.options == options) return known.value;
    const uint64_t generation = generation_;
    T value = find();
    if (generation == generation_) known = {options, value};
    return value;
  }
  void forget() {
    for (Known& known : known_) known = {};
    generation_++;
  }

 private:
  static constexpr size_t kMost = 8;
  struct Known {
    int64_t options = -1;
    T value{};
  };
  Known known_[kMost];
  uint64_t generation_ = 0;  // what was found before something was forgotten is not kept
};

}  // namespace anima
