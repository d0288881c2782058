// Work on XLA's own threads.
#include "kernels/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>

#include "common/patience.h"

namespace anima::kernels {
namespace {

void forget(ffi::CallFrame& frame, ffi::Error* error) {
  ffi::ErrorDestroyArgs destroy{sizeof(ffi::ErrorDestroyArgs), nullptr, error};
  frame.api->error_destroy(&destroy);
}

bool has_pool(ffi::CallFrame& frame) {
  return frame.api->struct_size >= offsetof(ffi::Api, pool_size) + sizeof(frame.api->pool_size) &&
         frame.api->pool_schedule != nullptr && frame.api->pool_size != nullptr;
}

// What the threads of one call share. Tasks hold it, since a task may begin when the call is long over.
class Pieces {
 public:
  Pieces(int64_t n, int64_t count, const std::function<void(int64_t, int64_t)>& body)
      : n_(n), count_(count), body_(body) {}

  // Takes pieces until none is left.
  void work() {
    for (;;) {
      int64_t piece = next_.fetch_add(1, std::memory_order_relaxed);
      if (piece >= count_) return;
      run(piece);
      if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
        std::lock_guard<std::mutex> lock(mutex_);
        all_done_.notify_all();
      }
    }
  }

  void wait() {
    patience::look_on([this] { return done_.load(std::memory_order_acquire) == count_; });
    std::unique_lock<std::mutex> lock(mutex_);
    all_done_.wait(lock, [this] { return done_.load(std::memory_order_acquire) == count_; });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void run(int64_t piece) {
    try {
      body_(begin_of(piece), begin_of(piece + 1));
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  // Without a product that could overflow.
  int64_t begin_of(int64_t piece) const { return n_ / count_ * piece + std::min(piece, n_ % count_); }

  const int64_t n_, count_;
  const std::function<void(int64_t, int64_t)>&
      body_;  // the caller's: read for pieces only, which it waits for
  std::atomic<int64_t> next_{0}, done_{0};
  std::mutex mutex_;
  std::condition_variable all_done_;
  std::exception_ptr error_;
};

void run_task(void* data) {
  std::unique_ptr<std::shared_ptr<Pieces>> pieces(static_cast<std::shared_ptr<Pieces>*>(data));
  (*pieces)->work();
}

// Whether the pool took the task.
bool schedule(ffi::CallFrame& frame, const std::shared_ptr<Pieces>& pieces) {
  auto task = std::make_unique<std::shared_ptr<Pieces>>(pieces);
  ffi::ThreadPoolScheduleArgs args{sizeof(args), nullptr, frame.context, &run_task, task.get()};
  if (ffi::Error* error = frame.api->pool_schedule(&args)) {
    forget(frame, error);
    return false;
  }
  task.release();
  return true;
}

}  // namespace

int64_t threads_of(ffi::CallFrame& frame) {
  if (!has_pool(frame)) return 1;
  int64_t threads = 1;
  ffi::ThreadPoolSizeArgs args{sizeof(args), nullptr, frame.context, &threads};
  if (ffi::Error* error = frame.api->pool_size(&args)) {
    forget(frame, error);
    return 1;
  }
  return std::max<int64_t>(threads, 1);
}

void parallel_for(ffi::CallFrame& frame, int64_t n, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t threads = n / grain < 2 ? 1 : threads_of(frame);
  if (threads < 2) return body(0, n);
  // A few pieces a thread, so that a thread that starts late or runs slowly takes fewer.
  const int64_t count = std::min(n / grain, 4 * threads);
  auto pieces = std::make_shared<Pieces>(n, count, body);
  for (int64_t i = 1; i < std::min(threads, count); ++i) {
    if (!schedule(frame, pieces)) break;
  }
  pieces->work();
  pieces->wait();
}

}  // namespace anima::kernels
