// Invariant: a thread in a place looks on and holds no lock. Whoever marks the place has woken it and tells
// nobody else; when time is up, the thread returns without having been woken, for its caller to look at what
// it waits for under the lock and, if need be, to call again. It sleeps then. So no notification is lost
// between looking on and sleeping, since nobody does one after the other without that look.
#include "pjrt/waits.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>

#include "common/patience.h"

namespace anima::waits {
namespace {

// Where a thread looks on: the address of the condition variable, odd once it has been woken; else 0.
struct alignas(64) Place {
  std::atomic<uintptr_t> waiter{0};
};

// By the address: threads whose condition variables share a place sleep at once if it is taken.
std::array<Place, 256> places;

std::atomic<uintptr_t>& place_of(uintptr_t condition) {
  return places[(condition >> 6 ^ condition >> 14) % places.size()].waiter;
}

// What this thread waited for last, without having been woken.
thread_local const std::condition_variable* in_vain = nullptr;

bool wake(std::condition_variable* condition) {
  uintptr_t waiter = reinterpret_cast<uintptr_t>(condition);
  return place_of(waiter).compare_exchange_strong(waiter, waiter | 1, std::memory_order_acq_rel);
}

}  // namespace

void wait(std::condition_variable* condition, std::unique_lock<std::mutex>& lock) noexcept {
  const uintptr_t waiter = reinterpret_cast<uintptr_t>(condition);
  std::atomic<uintptr_t>& place = place_of(waiter);
  uintptr_t nobody = 0;
  const bool sleeps = in_vain == condition || patience::none();
  in_vain = nullptr;
  if (sleeps || !place.compare_exchange_strong(nobody, waiter, std::memory_order_acq_rel)) {
    return condition->wait(lock);
  }
  lock.unlock();
  patience::look_on([&] { return place.load(std::memory_order_acquire) != waiter; });
  if (place.exchange(0, std::memory_order_acq_rel) == waiter) in_vain = condition;
  lock.lock();
}

void notify_one(std::condition_variable* condition) noexcept {
  if (!wake(condition)) condition->notify_one();
}

void notify_all(std::condition_variable* condition) noexcept {
  wake(condition);
  condition->notify_all();
}

long system_call(long number, ...) noexcept {
  va_list list;  // six, as the C library's own reads them; those that were not given mean nothing
  va_start(list, number);
  long args[6];
  for (long& arg : args) arg = va_arg(list, long);
  va_end(list);
  const int operation = static_cast<int>(args[1]) & FUTEX_CMD_MASK;
  if (number == SYS_futex && (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET)) {
    const auto* word = reinterpret_cast<const std::atomic<int>*>(args[0]);
    const int expected = static_cast<int>(args[2]);
    if (patience::look_on([&] { return word->load(std::memory_order_acquire) != expected; })) {
      errno = EAGAIN;  // as from a call that comes too late
      return -1;
    }
  }
  return syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

}  // namespace anima::waits

#endif
