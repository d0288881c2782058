// What the devices did when: bytes moved, and, while a profile is taken, launches, runs and transfers.
//
// Invariant: bytes are always counted, since a transfer costs a thousand times what the count does; the rest
// costs one load of a flag while no profile is taken. Recording never needs the GIL.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace anima {

class Buffer;
class Device;

enum class Moment { kLaunch, kRun, kToDevice, kToHost, kBetween };

struct Happening {
  Moment what;
  std::string name;   // of the program; empty for a transfer
  std::string place;  // the device
  int64_t start;      // nanoseconds of the monotonic clock
  int64_t end;
  uint64_t thread;  // as the system numbers threads
  uint64_t bytes;   // that a transfer moved
};

// Bytes moved since the process began, by direction.
struct Traffic {
  std::atomic<uint64_t> to_device{0};
  std::atomic<uint64_t> to_host{0};
  std::atomic<uint64_t> between{0};
};
extern Traffic traffic;

namespace timeline {

extern std::atomic<bool> recording;

inline bool on() { return recording.load(std::memory_order_relaxed); }
inline int64_t now() {
  auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

void start();
// Waits, for `patience` at most, until the programs that were launched have run; then ends the recording.
// `lost`: how many happenings there was no room for. [blocking]
std::vector<Happening> stop(std::chrono::milliseconds patience, uint64_t& lost);
void add(Moment what, std::string name, const Device* place, int64_t start, uint64_t bytes);
// A program was launched at `start`, and runs on the result's device until that is ready.
void add_run(std::string name, Buffer& result, int64_t start);

}  // namespace timeline

// Counts a transfer, and records it where a profile is taken.
class Transfer {
 public:
  Transfer(Moment what, const Device* place, uint64_t bytes)
      : what_(what), place_(place), bytes_(bytes), start_(timeline::on() ? timeline::now() : 0) {
    counter().fetch_add(bytes, std::memory_order_relaxed);
  }
  ~Transfer() {
    if (start_ != 0) timeline::add(what_, "", place_, start_, bytes_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

 private:
  std::atomic<uint64_t>& counter() const {
    if (what_ == Moment::kToDevice) return traffic.to_device;
    return what_ == Moment::kToHost ? traffic.to_host : traffic.between;
  }
  Moment what_;
  const Device* place_;
  uint64_t bytes_;
  int64_t start_;
};

}  // namespace anima
