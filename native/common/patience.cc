#include "common/patience.h"

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

namespace anima::patience {
namespace {

// A thread that gives its processor away while other processes compute gets it back after all of them, some
// milliseconds later; one that sleeps is run as soon as it is woken. With as many busy processes as
// processors a program that looked on took two to three times as long as one that slept. So when a processor
// was lost for long, and it is other processes that compute, threads sleep for a while. (Where the process
// itself keeps the processors busy, it costs nothing that those of its threads which wait step back.)
constexpr int64_t kMillisecond = 1000 * 1000;
constexpr int64_t kLong = kMillisecond, kWhile = 250 * kMillisecond;

std::atomic<int64_t> patience{0}, crowded_until{0};  // nanoseconds

int64_t read_clock(clockid_t clock) noexcept {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1000 * kMillisecond + time.tv_nsec;
}

// What all processes together have computed. -1 if the system does not tell.
int64_t computed_by_all() noexcept {
  std::FILE* file = std::fopen("/proc/stat", "re");
  if (file == nullptr) return -1;
  long long user, nice, system, idle, waiting, interrupts, soft, stolen;
  const int found = std::fscanf(file, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system,
                                &idle, &waiting, &interrupts, &soft, &stolen);
  std::fclose(file);
  if (found != 8) return -1;
  return (user + nice + system + interrupts + soft + stolen) * (1000 * kMillisecond / sysconf(_SC_CLK_TCK));
}

// How much other processes compute, by looks that are some time apart: the system counts in hundredths of a
// second.
class Others {
 public:
  // Whether they used a third of a processor or more from the look before to this one.
  bool compute() noexcept {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    const int64_t now = read_clock(CLOCK_MONOTONIC), time = now - at_;
    if (!lock.owns_lock() || time < 100 * kMillisecond) return false;
    const int64_t all = computed_by_all(), others = all - read_clock(CLOCK_PROCESS_CPUTIME_ID);
    const bool much = all >= 0 && time < 2000 * kMillisecond && 3 * (others - others_) > time;
    at_ = now;
    others_ = others;
    return much;
  }

 private:
  std::mutex mutex_;
  int64_t at_ = 0, others_ = 0;
};

Others others;

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
  std::this_thread::yield();
  const int64_t before = now_;
  now_ = read_clock(CLOCK_MONOTONIC);
  if (now_ - before > kLong && others.compute()) {
    crowded_until.store(now_ + kWhile, std::memory_order_relaxed);
  }
  return now_ < end_;
}

}  // namespace anima::patience
