// Invariant: of two families of functions that take and free memory, C's and C++'s with an alignment, the
// library's imports are replaced all or not at all: memory that one of ours gave comes back to one of ours.
// Of those that wait or round, each is replaced that is there. Other libraries' imports are not touched.
#include "pjrt/interpose.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "pjrt/large_blocks.h"
#include "pjrt/rounding.h"
#include "pjrt/small_blocks.h"
#include "pjrt/waits.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <vector>

namespace anima {
namespace {

// Null if the memory is to be the system's.
void* our_block(size_t alignment, size_t bytes) {
  if (bytes >= large_blocks::kLeast) return large_blocks::take(alignment, bytes);
  return small_blocks::take(alignment, bytes);
}

void* our_aligned_alloc(size_t alignment, size_t bytes) {
  void* block = our_block(alignment, bytes);
  return block != nullptr ? block : aligned_alloc(alignment, bytes);
}

int our_posix_memalign(void** memory, size_t alignment, size_t bytes) {
  void* block = our_block(alignment, bytes);
  return block != nullptr ? (*memory = block, 0) : posix_memalign(memory, alignment, bytes);
}

void our_free(void* memory) {
  if (small_blocks::is_block(memory)) return small_blocks::give_back(memory);
  if (!large_blocks::give_back(memory)) free(memory);
}

void* our_realloc(void* memory, size_t bytes) {
  size_t had = small_blocks::is_block(memory) ? small_blocks::size_of(memory) : large_blocks::size_of(memory);
  if (had == 0) return realloc(memory, bytes);
  void* other = malloc(bytes);
  if (other == nullptr) return nullptr;
  std::memcpy(other, memory, had < bytes ? had : bytes);
  our_free(memory);
  return other;
}

void* our_aligned_new(size_t bytes, std::align_val_t alignment) {
  void* block = our_block(static_cast<size_t>(alignment), bytes);
  return block != nullptr ? block : ::operator new(bytes, alignment);
}

void* our_aligned_new_or_null(size_t bytes, std::align_val_t alignment, const std::nothrow_t& tag) noexcept {
  void* block = our_block(static_cast<size_t>(alignment), bytes);
  return block != nullptr ? block : ::operator new(bytes, alignment, tag);
}

void our_aligned_delete(void* memory, std::align_val_t alignment) noexcept {
  if (small_blocks::is_block(memory)) return small_blocks::give_back(memory);
  if (!large_blocks::give_back(memory)) ::operator delete(memory, alignment);
}

void our_sized_aligned_delete(void* memory, size_t, std::align_val_t alignment) noexcept {
  our_aligned_delete(memory, alignment);
}

enum Family { kOfC, kOfCpp, kAlone };  // memory comes back to functions of the same family

struct Replacement {
  const char* name;
  void* ours;
  Family family;
  bool frees;
};

template <class Function>
Replacement replacement(const char* name, Function* ours, Family family, bool frees = false) {
  return {name, reinterpret_cast<void*>(ours), family, frees};
}

const Replacement kReplacements[] = {
    replacement("aligned_alloc", our_aligned_alloc, kOfC),
    replacement("posix_memalign", our_posix_memalign, kOfC), replacement("free", our_free, kOfC, true),
    replacement("realloc", our_realloc, kOfC),
    // operator new and operator delete with an alignment.
    replacement("_ZnwmSt11align_val_t", our_aligned_new, kOfCpp),
    replacement("_ZnwmSt11align_val_tRKSt9nothrow_t", our_aligned_new_or_null, kOfCpp),
    replacement("_ZdlPvSt11align_val_t", our_aligned_delete, kOfCpp, true),
    replacement("_ZdlPvmSt11align_val_t", our_sized_aligned_delete, kOfCpp, true),
    // std::condition_variable's wait, notify_one and notify_all.
    replacement("_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE", waits::wait, kAlone),
    replacement("_ZNSt18condition_variable10notify_oneEv", waits::notify_one, kAlone),
    replacement("_ZNSt18condition_variable10notify_allEv", waits::notify_all, kAlone),
    replacement("syscall", waits::system_call, kAlone), replacement("fesetround", rounding::set, kAlone)};

#ifdef __x86_64__
constexpr unsigned kJumpSlot = R_X86_64_JUMP_SLOT, kGlobalData = R_X86_64_GLOB_DAT, kAddress = R_X86_64_64;
#else
constexpr unsigned kJumpSlot = R_AARCH64_JUMP_SLOT, kGlobalData = R_AARCH64_GLOB_DAT,
                   kAddress = R_AARCH64_ABS64;
#endif

// The tables of a loaded library that the dynamic linker goes by.
struct Tables {
  size_t base = 0;
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  const ElfW(Rela) * calls = nullptr, *data = nullptr;
  size_t num_calls = 0, num_data = 0, num_relative = 0;

  explicit Tables(const link_map* map) : base(map->l_addr) {
    for (const ElfW(Dyn)* entry = map->l_ld; entry->d_tag != DT_NULL; entry++) read(*entry);
  }
  bool complete() const {
    return symbols != nullptr && names != nullptr && (calls != nullptr || data != nullptr);
  }

 private:
  void read(const ElfW(Dyn) & entry) {
    size_t count = entry.d_un.d_val / sizeof(ElfW(Rela));
    switch (entry.d_tag) {
      case DT_SYMTAB:
        symbols = reinterpret_cast<const ElfW(Sym)*>(entry.d_un.d_ptr);
        break;
      case DT_STRTAB:
        names = reinterpret_cast<const char*>(entry.d_un.d_ptr);
        break;
      case DT_JMPREL:
        calls = reinterpret_cast<const ElfW(Rela)*>(entry.d_un.d_ptr);
        break;
      case DT_RELA:
        data = reinterpret_cast<const ElfW(Rela)*>(entry.d_un.d_ptr);
        break;
      case DT_PLTRELSZ:
        num_calls = count;
        break;
      case DT_RELASZ:
        num_data = count;
        break;
      case DT_RELACOUNT:
        num_relative = entry.d_un.d_val;
        break;
    }
  }
};

struct Place {
  void** slot;
  const Replacement* by;
};

// Where the library keeps the addresses of what is replaced.
void find_places(const Tables& tables, const ElfW(Rela) * entries, size_t count, std::vector<Place>& places) {
  for (size_t i = 0; i < count; i++) {
    unsigned type = static_cast<unsigned>(ELF64_R_TYPE(entries[i].r_info));
    if (type != kJumpSlot && type != kGlobalData && type != kAddress) continue;
    const ElfW(Sym) & symbol = tables.symbols[ELF64_R_SYM(entries[i].r_info)];
    if (symbol.st_shndx != SHN_UNDEF) continue;
    for (const Replacement& replacement : kReplacements) {
      if (std::strcmp(tables.names + symbol.st_name, replacement.name) != 0) continue;
      places.push_back({reinterpret_cast<void**>(tables.base + entries[i].r_offset), &replacement});
    }
  }
}

// The part of the library that is read-only once it is loaded, as far as whole pages are.
struct ReadOnly {
  size_t start = 0, end = 0;

  explicit ReadOnly(size_t base) {
    auto* header = reinterpret_cast<const ElfW(Ehdr)*>(base);
    auto* segments = reinterpret_cast<const ElfW(Phdr)*>(base + header->e_phoff);
    for (size_t i = 0; i < header->e_phnum; i++) {
      if (segments[i].p_type != PT_GNU_RELRO) continue;
      size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      start = (base + segments[i].p_vaddr) / page * page;
      end = (base + segments[i].p_vaddr + segments[i].p_memsz) / page * page;
    }
  }
  bool protect(int how) const {
    return start >= end || mprotect(reinterpret_cast<void*>(start), end - start, how) == 0;
  }
};

}  // namespace

void interpose(const std::string& path) noexcept {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  link_map* map = nullptr;
  if (library == nullptr || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_addr == 0)
    return;
  Tables tables(map);
  if (!tables.complete() || std::memcmp(reinterpret_cast<void*>(map->l_addr), ELFMAG, SELFMAG) != 0) return;
  try {
    std::vector<Place> places;
    find_places(tables, tables.calls, tables.num_calls, places);
    if (tables.data != nullptr) {
      find_places(tables, tables.data + tables.num_relative, tables.num_data - tables.num_relative, places);
    }
    auto comes_back = [&](Family family) {  // what ours of a family takes
      return std::any_of(places.begin(), places.end(),
                         [&](const Place& place) { return place.by->frees && place.by->family == family; });
    };
    const bool families[] = {comes_back(kOfC), comes_back(kOfCpp), true};
    ReadOnly read_only(tables.base);
    if (!read_only.protect(PROT_READ | PROT_WRITE)) return;
    for (const Place& place : places) {
      if (families[place.by->family]) *place.slot = place.by->ours;
    }
    read_only.protect(PROT_READ);
  } catch (const std::exception&) {
    return;  // no memory: nothing has been replaced yet
  }
}

}  // namespace anima

#else

namespace anima {

void interpose(const std::string&) noexcept {}

}  // namespace anima

#endif
