// Programs that callbacks run: on a twin of the client, with its results brought back.
//
// Invariant: a twin serves one callback at a time, and what it runs has ended when execute() returns. So
// no execution on a twin waits for another that waits for it, however deeply callbacks nest.
#include "pjrt/internal.h"

namespace anima {
namespace {

thread_local CallbackScope* innermost = nullptr;
thread_local int scopes = 0;
thread_local bool launching = false;

// While it lives, a callback that starts in this thread was called by the execution being launched.
class Launch {
 public:
  Launch() : before_(std::exchange(launching, true)) {}
  ~Launch() { launching = before_; }

 private:
  bool before_;
};

// The contents of a ready buffer as a buffer on another client's device, without a copy where possible.
BufferRef share(Buffer& from, Device* to) {
  PJRT_Buffer_Type type = from.type();
  std::vector<int64_t> dims = from.dims();
  size_t bytes = dense_bytes(type, dims);
  // Elements that share bytes are laid out differently on the host; an empty buffer may have no address.
  if (bits_of(type) < 8 || bytes == 0) {
    std::vector<char> staging(bytes + 1);
    if (bytes > 0) from.copy_to_host(staging.data(), bytes);
    return to->client->from_host(staging.data(), type, dims, to, HostSemantics::kCopy, nullptr);
  }
  from.hold();
  auto release = [keep = from.shared_from_this()] { keep->unhold(); };
  return to->client->from_host(from.unsafe_pointer(), type, dims, to, HostSemantics::kZeroCopy, release);
}

}  // namespace

CallbackScope::CallbackScope() : enclosing_(innermost) {
  ++scopes;
  if (!launching) innermost = this;
}

CallbackScope::~CallbackScope() {
  --scopes;
  innermost = enclosing_;
  for (auto [client, twin] : twins_) client->give_twin(twin);
}

bool CallbackScope::active() { return scopes > 0; }

Client* CallbackScope::twin_of(Client* client) {
  for (auto [known, twin] : twins_) {
    if (known == client) return twin;
  }
  twins_.reserve(twins_.size() + 1);
  twins_.emplace_back(client, client->take_twin());
  return twins_.back().second;
}

Client* Client::take_twin() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_twins_.empty()) {
      Client* twin = idle_twins_.back();
      idle_twins_.pop_back();
      return twin;
    }
  }
  Client* twin = make(plugin_, options_).get();  // it owns itself
  std::lock_guard<std::mutex> lock(mutex_);
  twins_.push_back(twin);
  return twin;
}

void Client::give_twin(Client* twin) {
  std::lock_guard<std::mutex> lock(mutex_);
  idle_twins_.push_back(twin);
}

void Executable::execute(Buffer* const* args, size_t num_args, const std::vector<int64_t>& non_donatable,
                         BufferRef* outs) {
  if (CallbackScope* scope = innermost) {
    Client::Use use(owner_);
    run_on_twin(scope->twin_of(owner_), args, num_args, outs);
    return;
  }
  Launch launch_scope;
  launch(args, num_args, non_donatable, outs);
}

ExecutableRef Executable::twin_on(Client* twin) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = twins_.find(twin);
    if (found != twins_.end()) return found->second;
  }
  std::string sealed = serialize();
  ExecutableRef made = twin->load_serialized(unseal(*twin, sealed), "");
  std::lock_guard<std::mutex> lock(mutex_);
  return twins_.emplace(twin, std::move(made)).first->second;
}

void Executable::run_on_twin(Client* twin, Buffer* const* args, size_t num_args, BufferRef* outs) {
  check_devices(args, num_args);
  ExecutableRef other = twin_on(twin);
  std::vector<BufferRef> shared;
  std::vector<Buffer*> inputs;
  for (size_t i = 0; i < devices_.size() * num_args; ++i) {
    args[i]->await_ready();
    shared.push_back(share(*args[i], other->devices_[i / num_args]));
    inputs.push_back(shared.back().get());
  }
  std::vector<BufferRef> results(devices_.size() * num_outputs_);
  {
    Launch launch_scope;
    other->launch(inputs.data(), num_args, {}, results.data());
  }
  executions_.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < results.size(); ++i) {
    results[i]->await_ready();
    outs[i] = share(*results[i], devices_[i / num_outputs_]);
  }
}

}  // namespace anima
