// The first wait of a process, had by threads that nobody waits for.
//
// Invariant: nothing depends on it. What it makes is its own, and gone when it ends; where a plugin lacks a
// function or refuses, nothing happens.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "pjrt/internal.h"

namespace anima {

// An array of XLA's whose contents are still on their way.
class FirstWait::Transfer {
 public:
  explicit Transfer(Client& client) : client_(client) {
    Device* device = client.devices().front().get();
    Padded<PJRT_Device_DefaultMemory_Args> memory;
    memory.device = device->raw;
    client.check(client.api()->PJRT_Device_DefaultMemory(&memory));
    Padded<PJRT_ShapeSpec> shape;
    shape.element_type = PJRT_Buffer_Type_F32;
    Padded<PJRT_Client_CreateBuffersForAsyncHostToDevice_Args> made;
    made.client = client.raw_;
    made.shape_specs = &shape;
    made.num_shape_specs = 1;
    made.memory = memory.memory;
    client.check(client.api()->PJRT_Client_CreateBuffersForAsyncHostToDevice(&made));
    manager_ = made.transfer_manager;
    Padded<PJRT_AsyncHostToDeviceTransferManager_RetrieveBuffer_Args> args;
    args.transfer_manager = manager_;
    client.check(client.api()->PJRT_AsyncHostToDeviceTransferManager_RetrieveBuffer(&args));
    buffer_ = std::make_shared<Buffer>(device, args.buffer_out);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() {
    Padded<PJRT_AsyncHostToDeviceTransferManager_Destroy_Args> args;
    args.transfer_manager = manager_;
    PJRT_Error* error = client_.api()->PJRT_AsyncHostToDeviceTransferManager_Destroy(&args);
    if (error == nullptr) return;
    Padded<PJRT_Error_Destroy_Args> drop;
    drop.error = error;
    client_.api()->PJRT_Error_Destroy(&drop);
  }

  void arrive() {
    static constexpr float kContents = 0;
    Padded<PJRT_AsyncHostToDeviceTransferManager_TransferData_Args> args;
    args.transfer_manager = manager_;
    args.data = &kContents;
    args.transfer_size = sizeof(kContents);
    args.is_last_transfer = true;
    client_.check(client_.api()->PJRT_AsyncHostToDeviceTransferManager_TransferData(&args));
    destroy_event(client_.api(), args.done_with_h2d_transfer);
  }
  const BufferRef& buffer() const { return buffer_; }

 private:
  Client& client_;
  PJRT_AsyncHostToDeviceTransferManager* manager_ = nullptr;
  BufferRef buffer_;
};

void FirstWait::run(Client& client) noexcept {
  try {
    Client::Use use(&client);
    Transfer transfer(client);
    std::thread waiter([buffer = transfer.buffer()] {
      try {
        buffer->await_ready();
      } catch (const std::exception&) {
        // Nobody asked for the contents.
      }
    });
    // The other thread waits by then, most likely; if it does not, this has been for nothing.
    std::this_thread::sleep_for(std::chrono::microseconds(300));
    try {
      transfer.arrive();
    } catch (const std::exception&) {
      transfer.buffer()->remove();
    }
    waiter.join();
  } catch (const std::exception&) {
    // The program's own first wait will be the first one.
  }
}

void FirstWait::begin(Client& client) {
  static std::atomic<bool> begun{false};
  const Plugin& plugin = *client.plugin();
  if (!client.keeps_contents() || !ANIMA_HAS(plugin, PJRT_AsyncHostToDeviceTransferManager_RetrieveBuffer))
    return;
  if (begun.exchange(true)) return;
  std::thread([client = client.self()] { run(*client); }).detach();
}

}  // namespace anima
