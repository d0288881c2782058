// A lock for a handful of instructions that never wait, allocate little and call nothing that locks.
//
// Invariant: it is held so shortly that waiting for it is hardly ever seen; it costs half of what a mutex
// does.
#pragma once

#include <atomic>
#include <thread>

namespace anima {

class SpinLock {
 public:
  void lock() noexcept {
    for (int tries = 0; held_.exchange(true, std::memory_order_acquire); ++tries) {
      while (held_.load(std::memory_order_relaxed)) {
        if (++tries > kTries) std::this_thread::yield();  // the holder may not be running
      }
    }
  }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  static constexpr int kTries = 64;
  std::atomic<bool> held_{false};
};

}  // namespace anima
