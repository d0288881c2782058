// The Python functions that this layer calls, set once by set_array_hooks(); and devices as Python objects.
#pragma once

#include <Python.h>

#include "common/py.h"
#include "pjrt/client.h"

namespace anima {

struct Hooks {
  PyRef make_aval;       // (shape, dtype, weak_type) -> ShapedArray
  PyRef make_sharding;   // (device) -> SingleDeviceSharding
  PyRef default_device;  // () -> Device
  PyRef assemble;        // (array of several shards) -> numpy.ndarray
  PyRef on_transfer;     // (direction, dtype, shape, device or None) -> None; may raise
};

Hooks& hooks();
// The hook, owned, since it may set another in its place; RuntimeError if Python has not set it.
PyRef hook(PyRef Hooks::* which, const char* name);

// The Python object of a device (new reference), and back (throws TypeError naming `argument`). Devices
// live as long as the process.
PyObject* python_device(Device* device);
Device* unwrap_device(PyObject* object, const char* argument);
// The device that the default_device hook names: asked once for each combination of options, until it is
// to be forgotten.
Device* default_device();
void forget_default_devices();
// The single-device sharding of a device, from the hook, one object a device. New reference.
PyObject* device_sharding(Device* device);
void forget_device_shardings();  // to be called when the hook changes
// True if the device's memory is the host's, so that its buffers can be read in place.
bool is_host_device(const Device* device);

}  // namespace anima
