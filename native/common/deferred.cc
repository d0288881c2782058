#include "common/deferred.h"

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

namespace anima {
namespace {

using Release = std::pair<void (*)(void*), void*>;

struct Queue {
  std::mutex mutex;
  std::vector<Release> waiting;
  std::atomic<bool> filled{false};
};

// Never destroyed: XLA's threads outlive the module's statics.
Queue& queue() {
  static Queue& q = *new Queue;
  return q;
}

int run_pending(void*) {
  run_deferred_releases();
  return 0;
}

}  // namespace

void defer_release(void (*release)(void*), void* object) {
  bool first;
  {
    std::lock_guard<std::mutex> lock(queue().mutex);
    first = queue().waiting.empty();
    queue().waiting.emplace_back(release, object);
    queue().filled.store(true, std::memory_order_release);
  }
  // The interpreter's list of pending calls is short and may be full; the next transfer then runs the queue.
  if (first && Py_IsInitialized()) Py_AddPendingCall(run_pending, nullptr);
}

void defer_decref(PyObject* object) {
  defer_release([](void* held) { Py_DECREF(static_cast<PyObject*>(held)); }, object);
}

void run_deferred_releases() {
  if (!queue().filled.load(std::memory_order_acquire)) return;
  std::vector<Release> batch;
  {
    std::lock_guard<std::mutex> lock(queue().mutex);
    batch.swap(queue().waiting);
    queue().filled.store(false, std::memory_order_release);
  }
  for (auto [release, object] : batch) release(object);
}

}  // namespace anima
