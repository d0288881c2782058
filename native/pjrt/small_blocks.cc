#include "pjrt/small_blocks.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>
#include <new>

#include "common/spin_lock.h"

namespace anima::small_blocks {

std::atomic<size_t> range_start{0 - kRange};

namespace {

constexpr size_t kSpan = size_t{1} << 16;  // bytes that are cut into blocks of one size
constexpr size_t kSpans = kRange / kSpan;
// Sizes are 64, 128, ... 512, and then four for each power of two, so a block is a quarter too large at most.
constexpr size_t kFine = 8, kCoarse = 4;
constexpr size_t kSizes = kFine + kCoarse * 6;

constexpr size_t bytes_of(size_t size) {
  if (size < kFine) return (size + 1) * kAligned;
  size_t power = (size - kFine) / kCoarse, step = (size - kFine) % kCoarse;
  return ((kCoarse + 1 + step) * kAligned * 2) << power;
}
static_assert(bytes_of(kFine) == 640 && bytes_of(kSizes - 1) == kMost);

// The size for so many pieces of 64 bytes.
constexpr std::array<uint8_t, kMost / kAligned + 1> size_table() {
  std::array<uint8_t, kMost / kAligned + 1> table{};
  size_t size = 0;
  for (size_t pieces = 0; pieces < table.size(); pieces++) {
    while (bytes_of(size) < pieces * kAligned) size++;
    table[pieces] = static_cast<uint8_t>(size);
  }
  return table;
}
constexpr auto kSizeOf = size_table();

struct Free {
  Free* next;
};

// Free blocks of one size, the latest first: caches still have it.
struct Chain {
  Free* first = nullptr;
  size_t count = 0;

  void push(void* memory) {
    auto* block = static_cast<Free*>(memory);
    block->next = first;
    first = block;
    count++;
  }
  void* pop() {
    Free* block = first;
    first = block->next;
    count--;
    return block;
  }
  // Moves so many to the other.
  void move(size_t most, Chain& other) {
    for (; most > 0 && first != nullptr; most--) other.push(pop());
  }
};

// How many free blocks a thread keeps for itself.
constexpr size_t most_of(size_t size) {
  return std::clamp<size_t>((size_t{1} << 14) / bytes_of(size), 2, 64);
}

// What threads do not keep for themselves of one size.
struct alignas(64) Shared {
  SpinLock lock;
  Chain free;
  char* fresh = nullptr;
  size_t fresh_left = 0, made = 0;
};

struct Pool {
  std::array<Shared, kSizes> sizes;
  std::array<uint8_t, kSpans> size_of_span{};
  std::atomic<size_t> spans{0};
  std::atomic<bool> enabled{true};
  char* start = nullptr;

  Pool() noexcept {
    void* mapped = mmap(nullptr, kRange + kSpan, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return;
    start = static_cast<char*>(mapped) + (0 - reinterpret_cast<size_t>(mapped)) % kSpan;
    range_start.store(reinterpret_cast<size_t>(start), std::memory_order_relaxed);
  }
  size_t size_at(const void* memory) const {
    return size_of_span[(reinterpret_cast<size_t>(memory) - reinterpret_cast<size_t>(start)) / kSpan];
  }
  // Adds half of what a thread keeps, or what there is.
  void refill(size_t size, Chain& chain) {
    Shared& shared = sizes[size];
    std::lock_guard<SpinLock> lock(shared.lock);
    size_t wanted = most_of(size) / 2;
    shared.free.move(wanted, chain);
    while (chain.count < wanted && (shared.fresh_left > 0 || open_span(shared, size))) {
      chain.push(shared.fresh);
      shared.fresh += bytes_of(size);
      shared.fresh_left--;
      shared.made++;
    }
  }
  void give(size_t size, Chain& chain, size_t count) {
    Shared& shared = sizes[size];
    std::lock_guard<SpinLock> lock(shared.lock);
    chain.move(count, shared.free);
  }

 private:
  // False if the range is used up.
  bool open_span(Shared& shared, size_t size) {
    if (spans.load(std::memory_order_relaxed) >= kSpans) return false;
    size_t span = spans.fetch_add(1, std::memory_order_relaxed);
    if (span >= kSpans) return false;
    size_of_span[span] = static_cast<uint8_t>(size);
    shared.fresh = start + span * kSpan;
    shared.fresh_left = kSpan / bytes_of(size);
    return true;
  }
};

// It outlives static destructors: threads of XLA may still give memory back then.
Pool& pool() {
  static auto* made = new Pool;
  return *made;
}

// A thread that holds a lock while another forks is not there in the child, to give it back.
void lock_all() {
  for (Shared& shared : pool().sizes) shared.lock.lock();
}
void unlock_all() {
  for (Shared& shared : pool().sizes) shared.lock.unlock();
}
[[maybe_unused]] const int at_fork = pthread_atfork(lock_all, unlock_all, unlock_all);

using Chains = std::array<Chain, kSizes>;

// What a thread keeps for itself, until it ends.
thread_local Chains* own = nullptr;
thread_local bool ended = false;

struct AtEnd {
  ~AtEnd() {
    Chains* chains = own;
    own = nullptr;
    ended = true;
    for (size_t size = 0; size < kSizes; size++) pool().give(size, (*chains)[size], SIZE_MAX);
    delete chains;
  }
};

// Null in a thread that ends, or where there is no memory.
Chains* chains_of_thread() {
  if (own != nullptr || ended) return own;
  own = new (std::nothrow) Chains;
  if (own != nullptr) {
    thread_local AtEnd at_end;
    static_cast<void>(&at_end);
  }
  return own;
}

}  // namespace

void* take(size_t alignment, size_t bytes) noexcept {
  if (bytes > kMost || alignment > kAligned) return nullptr;
  Pool& all = pool();
  if (all.start == nullptr || !all.enabled.load(std::memory_order_relaxed)) return nullptr;
  Chains* chains = chains_of_thread();
  if (chains == nullptr) return nullptr;
  size_t size = kSizeOf[(bytes + kAligned - 1) / kAligned];
  Chain& chain = (*chains)[size];
  if (chain.first == nullptr) all.refill(size, chain);
  return chain.first == nullptr ? nullptr : chain.pop();
}

void give_back(void* memory) noexcept {
  Pool& all = pool();
  size_t size = all.size_at(memory);
  if (Chains* chains = chains_of_thread()) {
    Chain& chain = (*chains)[size];
    chain.push(memory);
    if (chain.count > most_of(size)) all.give(size, chain, most_of(size) / 2);
    return;
  }
  Chain alone;
  alone.push(memory);
  all.give(size, alone, 1);
}

size_t size_of(void* memory) noexcept { return bytes_of(pool().size_at(memory)); }

void enable(bool enabled) noexcept { pool().enabled.store(enabled, std::memory_order_relaxed); }

size_t bytes_made() noexcept {
  size_t sum = 0;
  for (size_t size = 0; size < kSizes; size++) {
    Shared& shared = pool().sizes[size];
    std::lock_guard<SpinLock> lock(shared.lock);
    sum += shared.made * bytes_of(size);
  }
  return sum;
}

}  // namespace anima::small_blocks
