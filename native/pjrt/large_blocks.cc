#include "pjrt/large_blocks.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace anima::large_blocks {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kLongest{5};  // that memory is kept unused
constexpr size_t kPage = 4096;

// Blocks are aligned as huge pages are, which hardly any other memory is.
bool may_be_block(const void* memory) {
  return memory != nullptr && (reinterpret_cast<size_t>(memory) & (kAligned - 1)) == 0;
}

struct Kept {
  void* memory;
  Clock::time_point since;
  uint64_t serial;  // they leave in this order
};

// Blocks that are to go, unmapped when the lock has been given back: the kernel takes its time.
class Leaving {
 public:
  ~Leaving() {
    for (auto [memory, bytes] : blocks_) munmap(memory, bytes);
  }
  void add(void* memory, size_t bytes) { blocks_.emplace_back(memory, bytes); }

 private:
  std::vector<std::pair<void*, size_t>> blocks_;
};

struct Pool {
  std::mutex mutex;
  bool enabled = true;
  std::unordered_map<void*, size_t> in_use;
  std::multimap<size_t, Kept> kept;                                  // by size
  std::map<uint64_t, std::multimap<size_t, Kept>::iterator> by_age;  // the same
  uint64_t serials = 0;
  size_t bytes_in_use = 0, bytes_kept = 0, most_in_use = 0;
  uint64_t taken = 0, reused = 0;

  using Place = std::multimap<size_t, Kept>::iterator;

  void* take_out(Place at) {
    void* memory = at->second.memory;
    bytes_kept -= at->first;
    by_age.erase(at->second.serial);
    kept.erase(at);
    return memory;
  }
  // What has not been used since `limit` leaves, and what is too much beside `more` bytes, where `most` may
  // be.
  void drop(Clock::time_point limit, size_t more, size_t most, Leaving& leaving) {
    while (!by_age.empty()) {
      Place oldest = by_age.begin()->second;
      if (oldest->second.since >= limit && bytes_in_use + bytes_kept + more <= most) return;
      leaving.add(oldest->second.memory, oldest->first);
      take_out(oldest);
    }
  }
  void keep(void* memory, size_t bytes, Clock::time_point now) {
    auto aged = by_age.emplace_hint(by_age.end(), serials, Place());
    try {
      aged->second = kept.emplace(bytes, Kept{memory, now, serials});
    } catch (const std::exception&) {  // no memory for the books
      by_age.erase(aged);
      throw;
    }
    serials++;
    bytes_kept += bytes;
  }
  void* find(size_t bytes) {
    auto at = kept.lower_bound(bytes);
    if (at == kept.end() || at->first > bytes + bytes / 8) return nullptr;
    at = std::prev(kept.upper_bound(at->first));  // the latest of its size: caches still have it
    note(at->second.memory, at->first);
    reused++;
    return take_out(at);
  }
  void note(void* memory, size_t bytes) {
    in_use.emplace(memory, bytes);
    taken++;
    bytes_in_use += bytes;
    most_in_use = std::max(most_in_use, bytes_in_use);
  }
};

// It outlives static destructors: threads of XLA may still give memory back then.
Pool& pool() {
  static auto* made = new Pool;
  return *made;
}

// A thread that holds the lock while another forks is not there in the child, to give it back.
[[maybe_unused]] const int at_fork =
    pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });

void* map_block(size_t bytes) {
  void* mapped = mmap(nullptr, bytes + kAligned, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(mapped);
  size_t before = (0 - reinterpret_cast<size_t>(start)) & (kAligned - 1);
  if (before > 0) munmap(start, before);
  start += before;
  if (before < kAligned) munmap(start + bytes, kAligned - before);
#ifdef MADV_HUGEPAGE
  madvise(start, bytes / kAligned * kAligned, MADV_HUGEPAGE);  // where the system has none, small ones do
#endif
  return start;
}

}  // namespace

void* take(size_t alignment, size_t bytes) noexcept {
  if (bytes < kLeast || bytes > SIZE_MAX / 2 || alignment > kAligned) return nullptr;
  bytes = (bytes + kPage - 1) / kPage * kPage;
  Pool& all = pool();
  try {
    {
      Leaving leaving;
      std::lock_guard<std::mutex> lock(all.mutex);
      if (!all.enabled) return nullptr;
      void* found = all.find(bytes);
      // Before more is mapped: memory may be short.
      size_t more = found == nullptr ? bytes : 0;
      all.drop(Clock::now() - kLongest, more, std::max(all.most_in_use, all.bytes_in_use + more), leaving);
      if (found != nullptr) return found;
    }
    void* made = map_block(bytes);
    if (made == nullptr) {
      release();
      made = map_block(bytes);
    }
    if (made == nullptr) return nullptr;
    std::lock_guard<std::mutex> lock(all.mutex);
    all.note(made, bytes);
    return made;
  } catch (const std::exception&) {  // no memory for the books: a block that is mapped already is lost
    return nullptr;
  }
}

bool give_back(void* memory) noexcept {
  if (!may_be_block(memory)) return false;
  Pool& all = pool();
  size_t bytes = 0;
  try {
    Leaving leaving;
    std::lock_guard<std::mutex> lock(all.mutex);
    auto at = all.in_use.find(memory);
    if (at == all.in_use.end()) return false;
    bytes = at->second;
    all.in_use.erase(at);
    all.bytes_in_use -= bytes;
    Clock::time_point now = Clock::now();
    all.drop(now - kLongest, bytes, all.most_in_use, leaving);
    if (all.enabled) return all.keep(memory, bytes, now), true;
  } catch (const std::exception&) {  // no memory for the books
  }
  munmap(memory, bytes);
  return true;
}

size_t size_of(void* memory) noexcept {
  if (!may_be_block(memory)) return 0;
  Pool& all = pool();
  std::lock_guard<std::mutex> lock(all.mutex);
  auto at = all.in_use.find(memory);
  return at == all.in_use.end() ? 0 : at->second;
}

void release() noexcept {
  Pool& all = pool();
  std::multimap<size_t, Kept> gone;
  {
    std::lock_guard<std::mutex> lock(all.mutex);
    gone.swap(all.kept);
    all.by_age.clear();
    all.bytes_kept = 0;
  }
  for (auto& [bytes, kept] : gone) munmap(kept.memory, bytes);
}

void enable(bool enabled) noexcept {
  {
    std::lock_guard<std::mutex> lock(pool().mutex);
    pool().enabled = enabled;
  }
  if (!enabled) release();
}

Counts counts() noexcept {
  Pool& all = pool();
  std::lock_guard<std::mutex> lock(all.mutex);
  return {all.taken, all.reused, all.bytes_in_use, all.bytes_kept, all.most_in_use};
}

}  // namespace anima::large_blocks
