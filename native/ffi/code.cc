// Whether an address can be called, or read, at all: capsules hold anything.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#ifdef __linux__
#include <link.h>
#endif

#include "ffi/handler.h"

namespace anima::ffi {

#ifdef __linux__
namespace {

// True if the address lies in an executable segment of a loaded library.
bool in_library(uintptr_t address) {
  struct Search {
    uintptr_t address;
    bool found;
  } search{address, false};
  auto visit = [](dl_phdr_info* info, size_t, void* data) {
    auto* wanted = static_cast<Search*>(data);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& segment = info->dlpi_phdr[i];
      uintptr_t start = info->dlpi_addr + segment.p_vaddr;
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
      if (wanted->address >= start && wanted->address - start < segment.p_memsz) wanted->found = true;
    }
    return static_cast<int>(wanted->found);
  };
  dl_iterate_phdr(visit, &search);
  return search.found;
}

// True if the memory, which lies in one map of the system, may be used so: 'r', 'w' or 'x'. Executable memory
// outside of libraries is that of functions made at run time, say.
bool in_map(uintptr_t address, size_t size, char use) {
  std::ifstream maps("/proc/self/maps");
  if (!maps) return true;  // the system does not tell
  for (std::string line; std::getline(maps, line);) {
    size_t start = 0, end = 0;
    char read, write, execute;
    if (std::sscanf(line.c_str(), "%zx-%zx %c%c%c", &start, &end, &read, &write, &execute) != 5) continue;
    if (address < start || address >= end) continue;
    return size <= end - address && (use == 'x' ? execute : use == 'w' ? write : read) == use;
  }
  return false;
}

}  // namespace

bool is_code(const void* pointer) {
  auto address = reinterpret_cast<uintptr_t>(pointer);
  return in_library(address) || in_map(address, 1, 'x');
}

bool is_data(const void* pointer, size_t size, bool writable) {
  return in_map(reinterpret_cast<uintptr_t>(pointer), size, writable ? 'w' : 'r');
}
#else
bool is_code(const void*) { return true; }
bool is_data(const void*, size_t, bool) { return true; }
#endif

}  // namespace anima::ffi
