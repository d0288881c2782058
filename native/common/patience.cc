#include "common/patience.h"

#include <time.h>

#include <atomic>
#include <thread>

namespace anima::patience {
namespace {

// A thread that gives its processor away while other processes compute gets it back after all of them, some
// milliseconds later; one that sleeps is run as soon as it is woken. With as many busy processes as
// processors a program that looked on took two to three times as long as one that slept. So when a processor
// was lost for long, and all of this process used less than half of one meanwhile, and that again and again,
// threads sleep for a while. (Where the process itself keeps the processors busy, it costs nothing that those
// which wait step back.)
constexpr int64_t kMillisecond = 1000 * 1000;
constexpr int64_t kLong = kMillisecond, kSoon = 50 * kMillisecond, kWhile = 250 * kMillisecond;

std::atomic<int64_t> patience{0}, lost_at{0}, crowded_until{0};  // nanoseconds

int64_t read_clock(clockid_t clock) noexcept {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1000 * 1000 * 1000 + time.tv_nsec;
}

}  // namespace

void set(int64_t microseconds) noexcept {
  patience.store(microseconds * 1000, std::memory_order_relaxed);
  crowded_until.store(0, std::memory_order_relaxed);
}

bool none() noexcept {
  if (patience.load(std::memory_order_relaxed) == 0) return true;
  const int64_t until = crowded_until.load(std::memory_order_relaxed);
  return until != 0 && read_clock(CLOCK_MONOTONIC) < until;
}

Watch::Watch() noexcept
    : now_(read_clock(CLOCK_MONOTONIC)), end_(now_ + patience.load(std::memory_order_relaxed)) {}

bool Watch::goes_on() noexcept {
  if (used_ == 0) used_ = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  std::this_thread::yield();
  const int64_t before = now_;
  now_ = read_clock(CLOCK_MONOTONIC);
  if (now_ - before > kLong) {
    const int64_t used_before = used_;
    used_ = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    if (2 * (used_ - used_before) < now_ - before && now_ - lost_at.exchange(now_) < kSoon) {
      crowded_until.store(now_ + kWhile, std::memory_order_relaxed);
    }
  }
  return now_ < end_;
}

}  // namespace anima::patience
