#include "array/hooks.h"

#include <nanobind/nanobind.h>

#include <unordered_map>

#include "common/per_options.h"

namespace nb = nanobind;

namespace anima {
namespace {

std::unordered_map<Device*, PyRef>& device_shardings() {
  static auto& made = *new std::unordered_map<Device*, PyRef>;  // never destroyed: holds Python objects
  return made;
}

PerOptions<Device*> default_devices;

}  // namespace

Hooks& hooks() {
  static Hooks& h = *new Hooks;  // never destroyed: holds Python objects
  return h;
}

PyRef hook(PyRef Hooks::* which, const char* name) {
  PyRef function = hooks().*which;
  if (!function) {
    throw_python(PyExc_RuntimeError,
                 "the array hook %s is not set: import anima, not its native module alone", name);
  }
  return function;
}

PyObject* python_device(Device* device) {
  return checked(nb::cast(device, nb::rv_policy::reference).release().ptr());
}

Device* unwrap_device(PyObject* object, const char* argument) {
  Device* device = nullptr;
  if (!nb::try_cast(nb::handle(object), device) || device == nullptr) {
    throw_python(PyExc_TypeError, "`%s` must be a Device, got %.200s", argument, Py_TYPE(object)->tp_name);
  }
  return device;
}

Device* default_device() {
  return default_devices.get([] {
    PyRef function = hook(&Hooks::default_device, "default_device");
    PyRef device = PyRef::steal(checked(PyObject_CallNoArgs(function.get())));
    return unwrap_device(device.get(), "default_device()");
  });
}

void forget_default_devices() { default_devices.forget(); }

PyObject* device_sharding(Device* device) {
  auto known = device_shardings().find(device);
  if (known != device_shardings().end()) return known->second.new_ref();
  PyRef wrapped = PyRef::steal(python_device(device));
  PyRef factory = hook(&Hooks::make_sharding, "make_sharding");
  PyRef sharding = PyRef::steal(checked(PyObject_CallOneArg(factory.get(), wrapped.get())));
  // The hook may have asked for the same one.
  return device_shardings().emplace(device, std::move(sharding)).first->second.new_ref();
}

void forget_device_shardings() {
  std::unordered_map<Device*, PyRef> dropped;
  dropped.swap(device_shardings());
}

bool is_host_device(const Device* device) { return device->platform == "cpu"; }

}  // namespace anima
