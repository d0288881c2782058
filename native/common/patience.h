// How long a thread that waits for another one looks on before it sleeps.
//
// Invariant: looking on ends after a bounded time, and in it the processor is given to whoever wants it,
// again and again. A thread that has been waiting for longer takes no processor time. Where other processes
// keep the processors busy, threads sleep at once.
//
// To wake a thread that sleeps costs 5 to 50 us where processors are virtual: one that has nothing to do is
// halted, and halting and waking it is the hypervisor's work. Parallel loops of compiled programs are often
// no longer than that.
#pragma once

#include <cstdint>

namespace anima::patience {

// For how long threads look on from now on. 0: they sleep at once.
void set(int64_t microseconds) noexcept;
// Whether threads sleep at once.
bool none() noexcept;

// Tells the processor that this is a loop that waits.
inline void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // "yield" does nothing on most of them
#endif
}

// The time of one thread that looks on.
class Watch {
 public:
  Watch() noexcept;
  // Gives the processor to who wants it. False when time is up.
  bool goes_on() noexcept;

 private:
  int64_t now_, end_;
};

// Whether `done()` became true in time.
template <typename Done>
bool look_on(const Done& done) noexcept {
  constexpr int kLooks = 20;  // about half a microsecond, as long as giving the processor away takes
  if (none()) return done();
  Watch watch;
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (done()) return true;
      relax();
    }
  } while (watch.goes_on());
  return done();
}

}  // namespace anima::patience
