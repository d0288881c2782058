// Invariant: of each family of functions that take and free memory, C's with an alignment, C++'s with one and
// C++'s without, the library's imports are replaced all or not at all: memory that one of ours gave comes
// back to one of ours. What C++'s operators gave the C++ library may free, so its import of `free` is
// replaced with them; no other library's imports are touched. Of the functions that wait or round, each is
// replaced that is there.
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

void* our_new(size_t bytes) {
  void* block = small_blocks::take(1, bytes);
  return block != nullptr ? block : ::operator new(bytes);
}

void* our_new_or_null(size_t bytes, const std::nothrow_t& tag) noexcept {
  void* block = small_blocks::take(1, bytes);
  return block != nullptr ? block : ::operator new(bytes, tag);
}

void our_delete(void* memory) noexcept {
  small_blocks::is_block(memory) ? small_blocks::give_back(memory) : ::operator delete(memory);
}

void our_delete_or_null(void* memory, const std::nothrow_t&) noexcept { our_delete(memory); }

// What the C++ library calls to free what operator new gave.
void our_free_of_cpp(void* memory) {
  small_blocks::is_block(memory) ? small_blocks::give_back(memory) : free(memory);
}

enum Family { kOfC, kOfCpp, kPlain, kAlone };  // memory comes back to functions of the same family

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
    // operator new, operator new[] and their counterparts.
    replacement("_Znwm", our_new, kPlain), replacement("_Znam", our_new, kPlain),
    replacement("_ZnwmRKSt9nothrow_t", our_new_or_null, kPlain),
    replacement("_ZnamRKSt9nothrow_t", our_new_or_null, kPlain),
    replacement("_ZdlPv", our_delete, kPlain, true), replacement("_ZdaPv", our_delete, kPlain, true),
    replacement("_ZdlPvm", our_delete, kPlain), replacement("_ZdaPvm", our_delete, kPlain),
    replacement("_ZdlPvRKSt9nothrow_t", our_delete_or_null, kPlain),
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

// A loaded library, or none.
class Library {
 public:
  explicit Library(const link_map* map) : tables_(map) {
    bool known = map->l_addr != 0 && std::memcmp(reinterpret_cast<void*>(map->l_addr), ELFMAG, SELFMAG) == 0;
    known_ = known && tables_.complete();
  }
  // Where the library keeps the addresses of what is to be replaced.
  template <size_t count>
  std::vector<Place> places_of(const Replacement (&replacements)[count]) const {
    std::vector<Place> places;
    if (!known_) return places;
    auto find = [&](const ElfW(Rela)* entries, size_t number) {
      const char* last = nullptr;  // entries for one name follow each other
      const Replacement* by = nullptr;
      for (size_t i = 0; i < number; i++) {
        const char* name = imported_by(entries[i]);
        if (name == nullptr) continue;
        if (name != last) {
          by = std::find_if(replacements, replacements + count,
                            [&](const Replacement& some) { return std::strcmp(name, some.name) == 0; });
          last = name;
        }
        if (by != replacements + count)
          places.push_back({reinterpret_cast<void**>(tables_.base + entries[i].r_offset), by});
      }
    };
    find(tables_.calls, tables_.num_calls);
    if (tables_.data != nullptr)
      find(tables_.data + tables_.num_relative, tables_.num_data - tables_.num_relative);
    return places;
  }
  // False if nothing was done.
  template <class Wanted>
  bool replace(const std::vector<Place>& places, const Wanted& wanted) const {
    if (places.empty()) return false;
    ReadOnly read_only(tables_.base);
    if (!read_only.protect(PROT_READ | PROT_WRITE)) return false;
    for (const Place& place : places) {
      if (wanted(place.by->family)) *place.slot = place.by->ours;
    }
    read_only.protect(PROT_READ);
    return true;
  }

 private:
  // The name of what an entry is for, if it is another library's.
  const char* imported_by(const ElfW(Rela) & entry) const {
    unsigned type = static_cast<unsigned>(ELF64_R_TYPE(entry.r_info));
    if (type != kJumpSlot && type != kGlobalData && type != kAddress) return nullptr;
    const ElfW(Sym) & symbol = tables_.symbols[ELF64_R_SYM(entry.r_info)];
    return symbol.st_shndx == SHN_UNDEF ? tables_.names + symbol.st_name : nullptr;
  }

  Tables tables_;
  bool known_ = false;
};

// Some of what a library makes by operator new the C++ library frees, strings for example. From now on that
// gives our blocks back, too; false if it cannot be told how, as where somebody else's operators are in use.
bool cpp_library_gives_back(const std::vector<Place>& places) {
  const link_map* provider = nullptr;
  for (const Place& place : places) {
    if (place.by->family != kPlain) continue;
    Dl_info info;
    link_map* map = nullptr;
    if (dladdr1(*place.slot, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return false;
    if (map == nullptr || std::strstr(map->l_name, "/libstdc++.so") == nullptr) return false;
    if (provider != nullptr && provider != map) return false;
    provider = map;
  }
  if (provider == nullptr) return false;
  static const Replacement kFree[] = {replacement("free", our_free_of_cpp, kPlain)};
  Library cpp(provider);
  return cpp.replace(cpp.places_of(kFree), [](Family) { return true; });
}

}  // namespace

void interpose(const std::string& path) noexcept {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  link_map* map = nullptr;
  if (handle == nullptr || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return;
  try {
    Library library(map);
    std::vector<Place> places = library.places_of(kReplacements);
    auto comes_back = [&](Family family) {  // what ours of a family takes
      return std::any_of(places.begin(), places.end(),
                         [&](const Place& place) { return place.by->frees && place.by->family == family; });
    };
    const bool families[] = {comes_back(kOfC), comes_back(kOfCpp),
                             comes_back(kPlain) && cpp_library_gives_back(places), true};
    library.replace(places, [&](Family family) { return families[family]; });
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
