// The Python functions that register FFI handlers and callbacks.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "bindings.h"
#include "common/py.h"
#include "ffi/callback.h"
#include "ffi/handler.h"
#include "kernels/features.h"
#include "kernels/fft_plan.h"
#include "kernels/kernel.h"

namespace nb = nanobind;

namespace anima {
namespace {

Plugin& plugin_of(nb::handle target) {
  if (Plugin* plugin = nullptr; nb::try_cast(target, plugin) && plugin) return *plugin;
  if (Client* client = nullptr; nb::try_cast(target, client) && client) return *client->plugin();
  throw_python(PyExc_TypeError, "expected a Client or a Plugin, got %R", target.ptr());
}

ffi::Handler* read_capsule(nb::handle capsule, const char* what) {
  if (!PyCapsule_CheckExact(capsule.ptr())) {
    throw_python(PyExc_TypeError, "register_ffi_handler: %s must be a capsule, got %R", what, capsule.ptr());
  }
  void* pointer = PyCapsule_GetPointer(capsule.ptr(), PyCapsule_GetName(capsule.ptr()));
  if (pointer == nullptr) throw PythonError();
  if (!ffi::is_code(pointer)) {
    throw_python(PyExc_ValueError, "register_ffi_handler: the capsule of %s holds no function, got %R", what,
                 capsule.ptr());
  }
  return reinterpret_cast<ffi::Handler*>(pointer);
}

ffi::HandlerBundle read_bundle(nb::handle handler) {
  ffi::HandlerBundle bundle{};
  if (!nb::isinstance<nb::dict>(handler)) {
    bundle.execute = read_capsule(handler, "`handler`");
    return bundle;
  }
  for (auto [key, value] : nb::borrow<nb::dict>(handler)) {
    std::string stage;
    if (!nb::try_cast(key, stage)) {
      throw_python(PyExc_TypeError, "register_ffi_handler: the name of a stage must be a str, got %R",
                   key.ptr());
    }
    ffi::Handler* function = read_capsule(value, ("stage '" + stage + "'").c_str());
    if (stage == "instantiate") {
      bundle.instantiate = function;
    } else if (stage == "prepare") {
      bundle.prepare = function;
    } else if (stage == "initialize") {
      bundle.initialize = function;
    } else if (stage == "execute") {
      bundle.execute = function;
    } else {
      throw_python(PyExc_ValueError,
                   "register_ffi_handler: unknown stage '%s'; stages are instantiate, prepare, initialize "
                   "and execute",
                   stage.c_str());
    }
  }
  if (bundle.execute == nullptr) {
    throw_python(PyExc_ValueError, "register_ffi_handler: a handler of several stages needs 'execute'");
  }
  return bundle;
}

// Memory where a struct of a user's handler stands.
template <class T>
T* read_data(nb::handle capsule, const char* what, bool writable) {
  if (!PyCapsule_CheckExact(capsule.ptr())) {
    throw_python(PyExc_TypeError, "register_ffi_type: %s must be a capsule, got %R", what, capsule.ptr());
  }
  void* pointer = PyCapsule_GetPointer(capsule.ptr(), PyCapsule_GetName(capsule.ptr()));
  if (pointer == nullptr) throw PythonError();
  if (reinterpret_cast<uintptr_t>(pointer) % alignof(T) != 0 || !ffi::is_data(pointer, sizeof(T), writable)) {
    throw_python(PyExc_ValueError, "register_ffi_type: the capsule of %s holds no address of data, got %R",
                 what, capsule.ptr());
  }
  return static_cast<T*>(pointer);
}

const ffi::TypeInfo* read_type_info(nb::handle capsule) {
  if (capsule.is_none()) return nullptr;
  const auto* info = read_data<ffi::TypeInfo>(capsule, "'type_info'", false);
  if (info->struct_size < sizeof(ffi::TypeInfo)) {
    throw_python(PyExc_ValueError, "register_ffi_type: 'type_info' says that it has %zu bytes, it needs %zu",
                 info->struct_size, sizeof(ffi::TypeInfo));
  }
  if (info->deleter != nullptr && !ffi::is_code(reinterpret_cast<const void*>(info->deleter))) {
    throw_python(PyExc_ValueError, "register_ffi_type: the deleter in 'type_info' is no function");
  }
  return info;
}

// XLA's names of platforms in its handler registry are not those of its clients.
std::string registry_platform(const std::string& platform) {
  if (platform == "cpu") return "Host";
  if (platform == "cuda" || platform == "gpu") return "CUDA";
  if (platform == "rocm") return "ROCM";
  return platform;
}

void bind_callbacks(nb::module_& m) {
  m.def(
      "register_python_callback_target",
      [](nb::handle client_or_plugin) { ffi::register_python_callback(plugin_of(client_or_plugin)); },
      nb::arg("client_or_plugin"),
      "Register the custom call 'anima_python_callback'. Raises PluginError unless the devices are CPUs.");
  m.def(
      "callback_register",
      [](nb::handle fn) {
        if (!PyCallable_Check(fn.ptr())) {
          throw_python(PyExc_TypeError, "callback_register: `fn` must be callable, got %R", fn.ptr());
        }
        return ffi::register_callback(fn.ptr());
      },
      nb::arg("fn"), "The number under which programs can call `fn`, until callback_release().");
  m.def(
      "callback_release",
      [](uint64_t id) {
        if (!ffi::release_callback(id)) {
          throw_python(PyExc_KeyError, "callback_release: no callback has the number %llu",
                       static_cast<unsigned long long>(id));
        }
      },
      nb::arg("id"), "Forget a callback. Raises KeyError if there is none of this number.");
  m.def(
      "take_callback_error",
      [](const std::string& message) -> nb::object {
        PyRef error = ffi::take_callback_error(message);
        return error ? nb::steal(error.release()) : nb::object(nb::none());
      },
      nb::arg("message") = "",
      "The exception that a callback raised and that `message`, its execution's error, speaks of; the "
      "newest if `message` is empty; else None. Each is handed out once.");
}

void bind_types(nb::module_& m) {
  m.def(
      "check_ffi_handler", [](nb::handle handler) { read_bundle(handler); }, nb::arg("handler"),
      "Raise TypeError or ValueError if this is nothing that register_ffi_handler takes.");
  m.def(
      "check_ffi_type",
      [](nb::handle type_id, nb::handle type_info) {
        read_data<ffi::TypeId>(type_id, "'type_id'", true);
        read_type_info(type_info);
      },
      nb::arg("type_id"), nb::arg("type_info").none(),
      "Raise TypeError or ValueError if these are nothing that register_ffi_type takes.");
  m.def(
      "register_ffi_type",
      [](nb::handle client_or_plugin, const std::string& name, nb::handle type_id, nb::handle type_info,
         const std::string& platform) {
        ffi::register_type(plugin_of(client_or_plugin), name, registry_platform(platform),
                           read_data<ffi::TypeId>(type_id, "'type_id'", true), read_type_info(type_info));
      },
      nb::arg("client_or_plugin"), nb::arg("name"), nb::arg("type_id"), nb::arg("type_info").none(),
      nb::arg("platform"),
      "Register a type of handlers' states: capsules of its TypeId, which gets its number, and of its "
      "TypeInfo "
      "or None. Raises PluginError.");
  m.def(
      "register_batch_partitionable",
      [](nb::handle client_or_plugin, const std::string& name) {
        return ffi::register_batch_partitionable(plugin_of(client_or_plugin), name);
      },
      nb::arg("client_or_plugin"), nb::arg("name"),
      "Let the partitioner divide custom calls of this name along leading dimensions. False if the plugin "
      "has "
      "no extension for that.");
}

}  // namespace

void bind_ffi(nb::module_& m) {
  m.def(
      "register_ffi_handler",
      [](nb::handle client_or_plugin, const std::string& name, nb::handle handler,
         const std::string& platform) {
        ffi::register_handler(plugin_of(client_or_plugin), name, registry_platform(platform),
                              read_bundle(handler));
      },
      nb::arg("client_or_plugin"), nb::arg("name"), nb::arg("handler"), nb::arg("platform"),
      "Register an XLA FFI handler, a capsule of its function or a dict of such capsules by stage, for "
      "custom calls of this name. `platform` is 'cpu', 'cuda', 'rocm' or XLA's own name. Raises "
      "PluginError.");
  bind_types(m);
  m.def(
      "register_kernel",
      [](nb::handle client_or_plugin, const std::string& name) {
        const kernels::Kernel* kernel = kernels::find_kernel(name);
        if (kernel == nullptr) {
          throw_python(PyExc_KeyError, "register_kernel: there is no kernel of the name '%s'", name.c_str());
        }
        Plugin& plugin = plugin_of(client_or_plugin);
        if (plugin.platform() != "cpu") throw PluginError("kernels run on CPU devices only");
        ffi::register_handler(plugin, name, "Host", {nullptr, nullptr, nullptr, kernel->handler});
      },
      nb::arg("client_or_plugin"), nb::arg("name"),
      "Register the custom call of a kernel of this library. Raises KeyError if there is none of this name, "
      "PluginError "
      "unless the devices are CPUs.");
  m.def("has_bfloat16_products", &kernels::has_bfloat16_products,
        "Whether the processor multiplies pairs of bfloat16 numbers.");
  m.def("has_wide_vectors", &kernels::has_wide_vectors,
        "Whether the processor's vectors of 64 bytes are as good as those of 32.");
  m.def("has_fft_plan", &kernels::has_fft_plan, nb::arg("n"),
        "Whether the kernel of Fourier transforms is for this length: a product of 2, 3, 5 and 7.");
  bind_callbacks(m);
}

}  // namespace anima
