// What XLA's threads do while they wait: they look on for a while before they sleep (common/patience.h).
//
// The functions stand in for those that a library imports (pjrt/interpose.h), any of them without the others:
// a thread that looks on and is not told comes back by itself, as a condition variable's waits may.
#pragma once

#include <condition_variable>
#include <mutex>

namespace anima::waits {

// std::condition_variable's.
void wait(std::condition_variable* condition, std::unique_lock<std::mutex>& lock) noexcept;
void notify_one(std::condition_variable* condition) noexcept;
void notify_all(std::condition_variable* condition) noexcept;
// syscall(), whose waits for a futex look on first.
long system_call(long number, ...) noexcept;

}  // namespace anima::waits
