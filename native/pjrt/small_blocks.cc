#include "pjrt/small_blocks.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#include "common/spin_lock.h"

namespace anima::small_blocks {

std::atomic<size_t> range_start{0 - kRange};

namespace {

constexpr size_t kSpan = size_t{1} << 16;  // bytes that are cut into blocks of one size
constexpr size_t kSpans = kRange / kSpan;
constexpr std::chrono::seconds kLongest{5};  // that the memory of spans is kept unused
constexpr size_t kUnit = 16;
// Sizes are 16, 32, ... 128, and then four for each power of two, so a block is a quarter too large at most.
constexpr size_t kFine = 8, kCoarse = 4;
constexpr size_t kSizes = kFine + kCoarse * 8;

constexpr size_t bytes_of(size_t size) {
  if (size < kFine) return (size + 1) * kUnit;
  size_t power = (size - kFine) / kCoarse, step = (size - kFine) % kCoarse;
  return ((kCoarse + 1 + step) * kUnit * 2) << power;
}
static_assert(bytes_of(kFine) == 160 && bytes_of(kSizes - 1) == kMost);

// The size for so many pieces of `unit` bytes: blocks of it are aligned by as much.
template <size_t unit, size_t most>
constexpr std::array<uint8_t, most / unit + 1> size_table() {
  std::array<uint8_t, most / unit + 1> table{};
  size_t size = 0;
  for (size_t pieces = 0; pieces < table.size(); pieces++) {
    while (bytes_of(size) < pieces * unit || bytes_of(size) % unit != 0) size++;
    table[pieces] = static_cast<uint8_t>(size);
  }
  return table;
}
constexpr size_t kMostFine = 1024;
constexpr auto kSizeOf = size_table<kUnit, kMostFine>();
constexpr auto kSizeOfAligned = size_table<kAligned, kMost>();

size_t size_for(size_t alignment, size_t bytes) {
  if (alignment <= kUnit && bytes <= kMostFine) return kSizeOf[(bytes + kUnit - 1) / kUnit];
  return kSizeOfAligned[(bytes + kAligned - 1) / kAligned];
}

// How many free blocks of a size a thread keeps for itself, and how many threads together keep at hand for
// each other: their addresses, for a block that another processor has written to last is slow to look at.
constexpr size_t most_of(size_t size) {
  return std::clamp<size_t>((size_t{1} << 16) / bytes_of(size), 2, 256);
}
constexpr size_t kBetween = 4;  // times what one keeps

// Where those of each size begin in an array of `times` as many.
constexpr std::array<uint32_t, kSizes + 1> starts(size_t times) {
  std::array<uint32_t, kSizes + 1> found{};
  for (size_t size = 0; size < kSizes; size++)
    found[size + 1] = found[size] + static_cast<uint32_t>(most_of(size) * times);
  return found;
}

// Free blocks of each size, the latest last: caches still have it.
template <size_t times>
struct Hand {
  static constexpr auto kStart = starts(times);
  std::array<uint32_t, kSizes> count{};
  std::array<void*, kStart[kSizes]> blocks;

  static size_t room(size_t size) { return most_of(size) * times; }
  void** of(size_t size) { return &blocks[kStart[size]]; }
  void push(size_t size, void* block) { of(size)[count[size]++] = block; }
  void* pop(size_t size) { return of(size)[--count[size]]; }
};
using Own = Hand<1>;

// The free blocks of a span, which are listed in the blocks themselves.
struct Free {
  Free* next;
};

struct Span {
  Free* free = nullptr;  // of its blocks, without what is at hand
  uint32_t freed = 0;    // how many these are
  uint32_t fresh = 0;    // blocks that were never given out: the last ones
  uint32_t number = 0;   // of its blocks
  uint8_t size = 0;
  Span *previous = nullptr, *next = nullptr;  // in the list that it is in

  bool has_free() const { return freed + fresh > 0; }
  bool unused() const { return freed + fresh == number; }
  void push(void* block) {
    auto* added = static_cast<Free*>(block);
    added->next = free;
    free = added;
    freed++;
  }
  void* pop() {
    Free* block = free;
    free = block->next;
    freed--;
    return block;
  }
};

// A list of spans, which are in one list at most.
struct Spans {
  Span* first = nullptr;
  size_t count = 0;

  void add(Span* span) {
    span->previous = nullptr;
    span->next = first;
    if (first != nullptr) first->previous = span;
    first = span;
    count++;
  }
  void remove(Span* span) {
    (span->previous != nullptr ? span->previous->next : first) = span->next;
    if (span->next != nullptr) span->next->previous = span->previous;
    count--;
  }
};

// The spans of one size that have free blocks.
struct alignas(64) Shared {
  SpinLock lock;
  Spans spans;
};

class Pool {
 public:
  std::atomic<bool> enabled{true};

  Pool() noexcept {
    // The books follow the range: as of that, only the pages that are used are ever there.
    void* mapped = mmap(nullptr, kSpan + kRange + kSpans * sizeof(Span), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return;
    start_ = static_cast<char*>(mapped) + (0 - reinterpret_cast<size_t>(mapped)) % kSpan;
    spans_ = reinterpret_cast<Span*>(start_ + kRange);
    range_start.store(reinterpret_cast<size_t>(start_), std::memory_order_relaxed);
  }
  bool usable() const { return start_ != nullptr && enabled.load(std::memory_order_relaxed); }
  Span& span_of(const void* memory) {
    return spans_[(reinterpret_cast<size_t>(memory) - reinterpret_cast<size_t>(start_)) / kSpan];
  }
  // Gives a thread half of what it keeps, or what there is.
  void refill(size_t size, Own& own) {
    return_unused();
    Shared& shared = sizes_[size];
    std::lock_guard<SpinLock> lock(shared.lock);
    size_t wanted = most_of(size) / 2;
    while (own.count[size] < wanted && between_.count[size] > 0) own.push(size, between_.pop(size));
    while (own.count[size] < wanted) {
      Span* span = shared.spans.first != nullptr ? shared.spans.first : open(size);
      if (span == nullptr) return;
      take_from(*span, wanted, own);
      if (!span->has_free()) shared.spans.remove(span);
    }
  }
  // Takes so many of the blocks of a thread, the oldest ones.
  void give(size_t size, Own& own, size_t count) {
    give(size, own.of(size), count);
    own.count[size] -= static_cast<uint32_t>(count);
    std::copy_n(own.of(size) + count, own.count[size], own.of(size));
  }
  void give(size_t size, void* const* blocks, size_t count) {
    return_unused();
    std::lock_guard<SpinLock> lock(sizes_[size].lock);
    for (; count > 0 && between_.count[size] < between_.room(size); count--) between_.push(size, *blocks++);
    give_to_spans(size, blocks, count);
  }
  // Returns to the system the memory of everything that is free, but for what threads keep for themselves.
  void release() {
    for (size_t size = 0; size < kSizes; size++) {
      std::lock_guard<SpinLock> lock(sizes_[size].lock);
      give_to_spans(size, between_.of(size), between_.count[size]);
      between_.count[size] = 0;
    }
    return_spans(kSpans);
  }
  Counts counts() {
    std::lock_guard<SpinLock> lock(lock_);
    return {(opened_ - kept_.count - returned_.count) * kSpan, kept_.count * kSpan};
  }
  void lock_all() {
    for (Shared& shared : sizes_) shared.lock.lock();
    lock_.lock();
  }
  void unlock_all() {
    lock_.unlock();
    for (Shared& shared : sizes_) shared.lock.unlock();
  }

 private:
  char* start_of(const Span* span) { return start_ + (span - spans_) * kSpan; }

  void take_from(Span& span, size_t wanted, Own& own) {
    size_t size = span.size;
    while (own.count[size] < wanted && span.free != nullptr) own.push(size, span.pop());
    char* fresh = start_of(&span) + (span.number - span.fresh) * bytes_of(size);
    for (; own.count[size] < wanted && span.fresh > 0; span.fresh--, fresh += bytes_of(size))
      own.push(size, fresh);
  }
  // With the lock of the size held.
  void give_to_spans(size_t size, void* const* blocks, size_t count) {
    Spans& spans = sizes_[size].spans;
    for (size_t i = 0; i < count; i++) {
      Span& span = span_of(blocks[i]);
      if (!span.has_free()) spans.add(&span);
      span.push(blocks[i]);
      // The last one stays open: a size of which few are in use would open one again and again.
      if (!span.unused() || spans.count == 1) continue;
      spans.remove(&span);
      std::lock_guard<SpinLock> lock(lock_);
      kept_.add(&span);
    }
  }
  // Once in a while, the memory of as many spans as were kept all the time since.
  void return_unused() {
    int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    if (now < next_look_.load(std::memory_order_relaxed)) return;
    size_t unused = 0;
    {
      std::lock_guard<SpinLock> lock(lock_);
      if (now < next_look_.load(std::memory_order_relaxed)) return;
      next_look_.store(now + kLongest / std::chrono::milliseconds(1), std::memory_order_relaxed);
      unused = std::exchange(least_kept_, kept_.count);
    }
    return_spans(unused);
  }
  void return_spans(size_t most) {
    for (; most > 0; most--) {
      Span* span = nullptr;
      {
        std::lock_guard<SpinLock> lock(lock_);
        span = take_kept();
      }
      if (span == nullptr) return;
      madvise(start_of(span), kSpan, MADV_DONTNEED);
      std::lock_guard<SpinLock> lock(lock_);
      returned_.add(span);
    }
  }
  Span* take_kept() {
    Span* span = kept_.first;
    if (span == nullptr) return nullptr;
    kept_.remove(span);
    least_kept_ = std::min(least_kept_, kept_.count);
    return span;
  }
  // A span of this size, whose lock is held; null if the range is used up.
  Span* open(size_t size) {
    Span* span = nullptr;
    {
      std::lock_guard<SpinLock> lock(lock_);
      span = take_kept();
      if (span == nullptr && (span = returned_.first) != nullptr) returned_.remove(span);
      if (span == nullptr && opened_ < kSpans) span = new (&spans_[opened_++]) Span();
    }
    if (span == nullptr) return nullptr;
    span->size = static_cast<uint8_t>(size);
    span->free = nullptr;
    span->freed = 0;
    span->number = span->fresh = static_cast<uint32_t>(kSpan / bytes_of(size));
    sizes_[size].spans.add(span);
    return span;
  }

  char* start_ = nullptr;
  std::array<Shared, kSizes> sizes_;
  Hand<kBetween> between_;  // each size with its lock
  SpinLock lock_;           // of what follows; taken with the lock of a size held
  size_t opened_ = 0;
  Spans kept_, returned_;  // not in use: with their memory, and without
  size_t least_kept_ = 0;  // since memory was last looked at
  std::atomic<int64_t> next_look_{0};
  Span* spans_ = nullptr;
};

// It outlives static destructors: threads of XLA may still give memory back then.
Pool& pool() {
  static auto* made = new Pool;
  return *made;
}

// A thread that holds a lock while another forks is not there in the child, to give it back.
[[maybe_unused]] const int at_fork =
    pthread_atfork([] { pool().lock_all(); }, [] { pool().unlock_all(); }, [] { pool().unlock_all(); });

// What a thread keeps for itself, until it ends.
thread_local Own* own = nullptr;
thread_local bool ended = false;

struct AtEnd {
  ~AtEnd() {
    Own* kept = own;
    own = nullptr;
    ended = true;
    for (size_t size = 0; size < kSizes; size++) pool().give(size, *kept, kept->count[size]);
    delete kept;
  }
};

// Null in a thread that ends, or where there is no memory.
Own* own_of_thread() {
  if (own != nullptr || ended) return own;
  own = new (std::nothrow) Own;
  if (own != nullptr) {
    thread_local AtEnd at_end;
    static_cast<void>(&at_end);
  }
  return own;
}

}  // namespace

void* take(size_t alignment, size_t bytes) noexcept {
  Pool& all = pool();
  if (bytes > kMost || alignment > kAligned || !all.usable()) return nullptr;
  Own* kept = own_of_thread();
  if (kept == nullptr) return nullptr;
  size_t size = size_for(alignment, bytes);
  if (kept->count[size] == 0) all.refill(size, *kept);
  return kept->count[size] == 0 ? nullptr : kept->pop(size);
}

void give_back(void* memory) noexcept {
  Pool& all = pool();
  size_t size = all.span_of(memory).size;
  Own* kept = own_of_thread();
  if (kept == nullptr) return all.give(size, &memory, 1);
  if (kept->count[size] == most_of(size)) all.give(size, *kept, most_of(size) / 2);
  kept->push(size, memory);
}

size_t size_of(void* memory) noexcept { return bytes_of(pool().span_of(memory).size); }

void enable(bool enabled) noexcept {
  pool().enabled.store(enabled, std::memory_order_relaxed);
  if (!enabled) release();
}

void release() noexcept { pool().release(); }

Counts counts() noexcept { return pool().counts(); }

}  // namespace anima::small_blocks
