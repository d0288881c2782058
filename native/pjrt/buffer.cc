// Buffers and devices.
//
// Invariant: `raw_` is read only inside a Client::Use, which is what keeps close() from taking it away.
#include <limits>

#include "common/py.h"
#include "pjrt/internal.h"
#include "pjrt/timeline.h"

namespace anima {

Buffer::Buffer(std::shared_ptr<Client> client, Device* device, PJRT_Buffer* raw)
    : Handle(client.get()), device_(device), raw_(raw) {}

Buffer::Buffer(Device* device, PJRT_Buffer* raw) : Handle(device->client), device_(device), raw_(raw) {}

Buffer::Buffer(Device* device, ContentsRef contents)
    : Handle(device->client), device_(device), raw_(nullptr), contents_(std::move(contents)), ready_(true) {}

Buffer::~Buffer() { owner_->retire(this); }

Remains Buffer::surrender() noexcept {
  Remains remains;
  remains.buffer = raw_.exchange(nullptr);
  // The reader that holds the memory cannot be told to stop: see the invariant in client.cc. Contents are
  // the buffer's own, and stay as long as that.
  if (holds_.load() > 0 && !contents_) remains.buffer = nullptr;
  return remains;
}

const std::shared_ptr<Client>& Buffer::client() const { return owner_->self(); }

void Buffer::check_live() const {
  if (deleted()) throw DeletedError("the array was deleted, or donated to a computation");
}

bool Buffer::deleted() const {
  if (removed_.load(std::memory_order_acquire)) return true;
  if (!owner_->try_enter()) return owner_->in_owner();
  Padded<PJRT_Buffer_IsDeleted_Args> args;
  args.buffer = raw_.load(std::memory_order_acquire);
  if (args.buffer == nullptr) return owner_->leave(), false;  // XLA has nothing of it that could be deleted
  PJRT_Error* error = owner_->api()->PJRT_Buffer_IsDeleted(&args);
  owner_->leave();
  owner_->check(error);
  return args.is_deleted;
}

// XLA's own copy of the contents. Two threads may make it at once: the second one's goes.
PJRT_Buffer* Buffer::make_raw() {
  if (!contents_) throw PjrtError(PJRT_Error_Code_INTERNAL, "INTERNAL: the buffer was taken down");
  auto args = owner_->put(contents_->data(), contents_->type(), contents_->dims(), contents_->num_dims(),
                          device_, HostSemantics::kPassOn);
  destroy_event(owner_->api(), args.done_with_host_buffer);
  PJRT_Buffer* known = nullptr;
  if (!raw_.compare_exchange_strong(known, args.buffer)) {
    Remains second;
    second.buffer = args.buffer;
    owner_->destroy(second);
    return known;
  }
  if (removed_.load()) owner_->check(delete_raw(args.buffer));
  return args.buffer;
}

PJRT_Event* Buffer::ready_event() {
  Padded<PJRT_Buffer_ReadyEvent_Args> args;
  args.buffer = raw();
  owner_->check(owner_->api()->PJRT_Buffer_ReadyEvent(&args));
  return args.event;
}

void Buffer::on_ready(std::function<void()> done) {
  Client::Use use(owner_);
  check_live();
  if (known_ready()) return done();
  when_ready(*owner_, ready_event(), [done = std::move(done)](bool) { done(); });
}

void Buffer::await_ready() {
  Client::Use use(owner_);
  check_live();
  if (ready_.load(std::memory_order_acquire)) return;
  await_event(*owner_, ready_event());
  ready_.store(true, std::memory_order_release);
}

bool Buffer::is_ready() {
  Client::Use use(owner_);
  check_live();
  if (ready_.load(std::memory_order_acquire)) return true;
  Padded<PJRT_Event_IsReady_Args> query;
  query.event = ready_event();
  PJRT_Error* error = owner_->api()->PJRT_Event_IsReady(&query);
  destroy_event(owner_->api(), query.event);
  owner_->check(error);
  return query.is_ready;
}

void Buffer::remove() {
  // XLA waits for executions that are just being launched with this buffer; one of them may be
  // waiting for the GIL inside a Python callback.
  NoGilIfHeld nogil;
  if (removed_.exchange(true)) return;
  if (!owner_->try_enter()) {
    if (!owner_->in_owner()) Client::Use refused(owner_);
    return;
  }
  PJRT_Buffer* raw = raw_.load();
  PJRT_Error* error = raw == nullptr ? nullptr : delete_raw(raw);
  owner_->leave();
  owner_->check(error);
}

PJRT_Error* Buffer::delete_raw(PJRT_Buffer* raw) const {
  Padded<PJRT_Buffer_Delete_Args> args;
  args.buffer = raw;
  return owner_->api()->PJRT_Buffer_Delete(&args);
}

size_t Buffer::bytes_on_device() {
  Client::Use use(owner_);
  check_live();
  if (contents_) return contents_->bytes();
  Padded<PJRT_Buffer_OnDeviceSizeInBytes_Args> args;
  args.buffer = raw();
  owner_->check(owner_->api()->PJRT_Buffer_OnDeviceSizeInBytes(&args));
  return args.on_device_size_in_bytes;
}

PJRT_Buffer_Type Buffer::type() const {
  Client::Use use(owner_);
  if (contents_) return contents_->type();
  Padded<PJRT_Buffer_ElementType_Args> args;
  args.buffer = raw_.load(std::memory_order_acquire);
  owner_->check(owner_->api()->PJRT_Buffer_ElementType(&args));
  return args.type;
}

std::vector<int64_t> Buffer::dims() const {
  Client::Use use(owner_);
  if (contents_) return std::vector<int64_t>(contents_->dims(), contents_->dims() + contents_->num_dims());
  Padded<PJRT_Buffer_Dimensions_Args> args;
  args.buffer = raw_.load(std::memory_order_acquire);
  owner_->check(owner_->api()->PJRT_Buffer_Dimensions(&args));
  return std::vector<int64_t>(args.dims, args.dims + args.num_dims);
}

void* Buffer::unsafe_pointer() {
  Client::Use use(owner_);
  check_live();
  if (contents_) return contents_->data();
  Padded<PJRT_Buffer_UnsafePointer_Args> args;
  args.buffer = raw();
  owner_->check(owner_->api()->PJRT_Buffer_UnsafePointer(&args));
  return reinterpret_cast<void*>(args.buffer_pointer);
}

const void* Buffer::readable() {
  if (removed_.load(std::memory_order_acquire)) return nullptr;
  if (contents_) return contents_->data();
  if (const void* known = address_.load(std::memory_order_acquire)) return known;
  if (!owner_->keeps_contents() || !is_ready()) return nullptr;
  try {
    await_ready();  // it is, but perhaps with an error
  } catch (const PjrtError&) {
    return nullptr;
  }
  const void* found = unsafe_pointer();
  address_.store(found, std::memory_order_release);
  return found;
}

void Buffer::hold() {
  Client::Use use(owner_);
  check_live();
  if (contents_) return void(++holds_);
  Padded<PJRT_Buffer_IncreaseExternalReferenceCount_Args> args;
  args.buffer = raw();
  owner_->check(owner_->api()->PJRT_Buffer_IncreaseExternalReferenceCount(&args));
  ++holds_;
}

void Buffer::unhold() {
  if (contents_) return void(--holds_);
  if (!owner_->try_enter()) return;
  Padded<PJRT_Buffer_DecreaseExternalReferenceCount_Args> args;
  args.buffer = raw();
  PJRT_Error* error = owner_->api()->PJRT_Buffer_DecreaseExternalReferenceCount(&args);
  --holds_;
  owner_->leave();
  owner_->check(error);
}

BufferRef Buffer::copy_to(Device* device) {
  if (device->client != owner_) {
    size_t bytes = dense_bytes(type(), dims());
    std::vector<char> staging(bytes);
    copy_to_host(staging.data(), bytes);
    return device->client->from_host(staging.data(), type(), dims(), device, HostSemantics::kCopy, nullptr);
  }
  if (device == device_) {
    throw std::invalid_argument("copy_to: the buffer is on " + device->text + " already");
  }
  Client::Use use(owner_);
  check_live();
  Padded<PJRT_Buffer_CopyToDevice_Args> args;
  args.buffer = raw();
  args.dst_device = device->raw;
  Transfer transfer(Moment::kBetween, device, dense_bytes(type(), dims()));
  owner_->check(owner_->api()->PJRT_Buffer_CopyToDevice(&args));
  return std::make_shared<Buffer>(device, args.dst_buffer);
}

PJRT_Event* Buffer::copy_out(void* out, size_t bytes) {
  check_live();
  std::vector<int64_t> shape = dims();
  size_t needed = dense_bytes(type(), shape);
  if (bytes != needed) {
    throw std::invalid_argument("copy_to_host: the array takes " + std::to_string(needed) +
                                " bytes on the host, the destination has " + std::to_string(bytes));
  }
  // A device may keep the dimensions in another order, so the order on the host is always given.
  std::vector<int64_t> minor_to_major(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) minor_to_major[i] = static_cast<int64_t>(shape.size() - 1 - i);
  PJRT_Buffer_MemoryLayout layout{};
  layout.struct_size = PJRT_Buffer_MemoryLayout_STRUCT_SIZE;
  layout.type = PJRT_Buffer_MemoryLayout_Type_Tiled;
  layout.tiled.struct_size = PJRT_Buffer_MemoryLayout_Tiled_STRUCT_SIZE;
  layout.tiled.minor_to_major = minor_to_major.data();
  layout.tiled.minor_to_major_size = minor_to_major.size();
  Padded<PJRT_Buffer_ToHostBuffer_Args> args;
  args.src = raw();
  args.host_layout = shape.size() > 1 ? &layout : nullptr;
  args.dst = out;
  args.dst_size = bytes;
  owner_->check(owner_->api()->PJRT_Buffer_ToHostBuffer(&args));
  return args.event;
}

void Buffer::copy_to_host(void* out, size_t bytes) {
  Client::Use use(owner_);
  Transfer transfer(Moment::kToHost, device_, bytes);
  if (contents_ && bytes == contents_->bytes()) {
    check_live();
    std::memcpy(out, contents_->data(), bytes);
    return;
  }
  await_event(*owner_, copy_out(out, bytes));
}

void Buffer::begin_copy_to_host(void* out, size_t bytes, std::function<void(bool)> done) {
  Client::Use use(owner_);
  Transfer transfer(Moment::kToHost, device_, bytes);
  when_ready(*owner_, copy_out(out, bytes), std::move(done));
}

std::map<std::string, int64_t> Device::memory_stats() const {
  Client::Use use(client);
  Padded<PJRT_Device_MemoryStats_Args> args;
  args.device = raw;
  try {
    client->check(client->api()->PJRT_Device_MemoryStats(&args));
  } catch (const PjrtError& e) {
    if (e.code == PJRT_Error_Code_UNIMPLEMENTED) return {};
    throw;
  }
  std::map<std::string, int64_t> out{{"bytes_in_use", args.bytes_in_use}};
  auto add = [&out](const char* name, int64_t value, bool is_set) {
    if (is_set) out[name] = value;
  };
  add("peak_bytes_in_use", args.peak_bytes_in_use, args.peak_bytes_in_use_is_set);
  add("num_allocs", args.num_allocs, args.num_allocs_is_set);
  add("largest_alloc_size", args.largest_alloc_size, args.largest_alloc_size_is_set);
  add("bytes_limit", args.bytes_limit, args.bytes_limit_is_set);
  add("bytes_reserved", args.bytes_reserved, args.bytes_reserved_is_set);
  add("peak_bytes_reserved", args.peak_bytes_reserved, args.peak_bytes_reserved_is_set);
  add("bytes_reservable_limit", args.bytes_reservable_limit, args.bytes_reservable_limit_is_set);
  add("largest_free_block_bytes", args.largest_free_block_bytes, args.largest_free_block_bytes_is_set);
  add("pool_bytes", args.pool_bytes, args.pool_bytes_is_set);
  add("peak_pool_bytes", args.peak_pool_bytes, args.peak_pool_bytes_is_set);
  return out;
}

Options Device::attributes() const {
  Client::Use use(client);
  Padded<PJRT_Device_GetDescription_Args> description;
  description.device = raw;
  client->check(client->api()->PJRT_Device_GetDescription(&description));
  Padded<PJRT_DeviceDescription_Attributes_Args> args;
  args.device_description = description.device_description;
  client->check(client->api()->PJRT_DeviceDescription_Attributes(&args));
  return read_named_values(args.attributes, args.num_attributes);
}

}  // namespace anima
