#include "pjrt/timeline.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "pjrt/client.h"

namespace anima {

Traffic traffic;

namespace timeline {

std::atomic<bool> recording{false};

namespace {

constexpr size_t kMost = 1 << 20;  // about 100 MB: a profile that nobody stops must not take all memory

struct State {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Happening> happenings;
  uint64_t lost = 0;
  uint64_t session = 0;  // a run that ends in a later one than it began in is not told
  size_t running = 0;
};

State& state() {
  static auto* made = new State;  // outlives static destructors: callbacks of XLA may still come then
  return *made;
}

uint64_t this_thread() {
  thread_local uint64_t number = static_cast<uint64_t>(syscall(SYS_gettid));
  return number;
}

void push(State& s, Happening happening) {
  if (s.happenings.size() < kMost) {
    s.happenings.push_back(std::move(happening));
  } else {
    s.lost++;
  }
}

}  // namespace

void start() {
  State& s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  s.happenings.clear();
  s.lost = 0;
  s.running = 0;
  s.session++;
  recording.store(true);
}

std::vector<Happening> stop(std::chrono::milliseconds patience, uint64_t& lost) {
  State& s = state();
  std::unique_lock<std::mutex> lock(s.mutex);
  s.changed.wait_for(lock, patience, [&s] { return s.running == 0; });
  recording.store(false);
  s.session++;
  lost = s.lost;
  return std::exchange(s.happenings, {});
}

void add(Moment what, std::string name, const Device* place, int64_t start, uint64_t bytes) {
  int64_t end = now();
  State& s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (on()) push(s, Happening{what, std::move(name), place->text, start, end, this_thread(), bytes});
}

void add_run(std::string name, Buffer& result, int64_t start) {
  State& s = state();
  uint64_t session;
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    if (!on()) return;
    session = s.session;
    s.running++;
  }
  result.on_ready([&s, session, start, place = result.device()->text, name = std::move(name)] {
    int64_t end = now();
    std::lock_guard<std::mutex> lock(s.mutex);
    if (s.session != session) return;
    push(s, Happening{Moment::kRun, name, place, start, end, this_thread(), 0});
    if (--s.running == 0) s.changed.notify_all();
  });
}

}  // namespace timeline
}  // namespace anima
