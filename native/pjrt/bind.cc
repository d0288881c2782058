// The Python classes Plugin, Client, Device and Executable.
//
// Invariant: the GIL is released around everything that may compile, run, transfer or wait.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include "array/array.h"
#include "bindings.h"
#include "common/patience.h"
#include "common/py.h"
#include "pjrt/client.h"
#include "pjrt/interpose.h"
#include "pjrt/large_blocks.h"
#include "pjrt/launches.h"
#include "pjrt/small_blocks.h"
#include "pjrt/timeline.h"

namespace nb = nanobind;

namespace anima {
namespace {

template <class Fn>
auto without_gil(Fn&& fn) {
  NoGil nogil;
  return fn();
}

// ---- options and attributes ----

int64_t read_integer(PyObject* o) {
  int64_t number = PyLong_AsLongLong(o);
  if (number == -1 && PyErr_Occurred()) throw PythonError();
  return number;
}

std::string read_text(PyObject* o) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(o, &size);
  if (text == nullptr) throw PythonError();
  return std::string(text, static_cast<size_t>(size));
}

OptionValue read_option(PyObject* name, PyObject* o) {
  if (PyBool_Check(o)) return o == Py_True;
  if (PyLong_Check(o)) return read_integer(o);
  if (PyFloat_Check(o)) return static_cast<float>(PyFloat_AS_DOUBLE(o));
  if (PyUnicode_Check(o)) return read_text(o);
  if (PyList_Check(o) || PyTuple_Check(o)) {
    std::vector<int64_t> list;
    bool integers = true;
    for (nb::handle item : nb::handle(o)) {
      integers = integers && PyLong_Check(item.ptr());
      if (integers) list.push_back(read_integer(item.ptr()));
    }
    if (integers) return list;
  }
  throw_python(PyExc_TypeError,
               "create_client: option %R must be a bool, an int, a float, a str or a list of int, got %R",
               name, o);
}

nb::object write_option(const OptionValue& value) {
  struct Writer {
    nb::object operator()(bool v) { return nb::bool_(v); }
    nb::object operator()(int64_t v) { return nb::int_(v); }
    nb::object operator()(float v) { return nb::float_(v); }
    nb::object operator()(const std::string& v) {
      return nb::steal(checked(PyUnicode_DecodeUTF8(v.data(), v.size(), "replace")));
    }
    nb::object operator()(const std::vector<int64_t>& v) {
      nb::list out;
      for (int64_t item : v) out.append(item);
      return std::move(out);
    }
  };
  return std::visit(Writer(), value);
}

nb::dict write_options(const Options& options) {
  nb::dict out;
  for (const auto& [name, value] : options) out[name.c_str()] = write_option(value);
  return out;
}

template <class Map>
nb::dict write_map(const Map& map) {
  nb::dict out;
  for (const auto& [name, value] : map) out[name.c_str()] = value;
  return out;
}

nb::bytes to_bytes(const std::string& text) { return nb::bytes(text.data(), text.size()); }
std::string from_bytes(const nb::bytes& bytes) { return std::string(bytes.c_str(), bytes.size()); }

// ---- plugin, client, device ----

std::shared_ptr<Client> create_client(Plugin& plugin, const nb::dict& options) {
  Options read;
  nb::dict own = nb::steal<nb::dict>(checked(PyDict_Copy(options.ptr())));  // reading a list may run Python
  for (auto [key, value] : own) {
    if (!PyUnicode_Check(key.ptr())) {
      throw_python(PyExc_TypeError, "create_client: the name of an option must be a str, got %R", key.ptr());
    }
    read[read_text(key.ptr())] = read_option(key.ptr(), value.ptr());
  }
  return without_gil([&] { return plugin.create_client(read); });
}

nb::list list_devices(const Client& client, bool addressable_only) {
  nb::list out;
  for (const auto& device : client.devices()) {
    if (addressable_only && !device->addressable) continue;
    out.append(nb::cast(device.get(), nb::rv_policy::reference));
  }
  return out;
}

void bind_plugin(nb::module_& m) {
  nb::class_<Plugin>(m, "Plugin", "A loaded PJRT plugin library.")
      .def_prop_ro("path", &Plugin::path)
      .def_prop_ro("api_version",
                   [](const Plugin& p) {
                     auto [major, minor] = p.api_version();
                     return nb::make_tuple(major, minor);
                   })
      .def_prop_ro("attributes", [](const Plugin& p) { return write_options(p.attributes()); })
      .def(
          "has_extension", [](const Plugin& p, int type) { return p.extension(type) != nullptr; },
          nb::arg("type"), "Whether the plugin offers the PJRT extension of this number.")
      .def(
          "interpose", [](const Plugin& p) { interpose(p.path()); },
          "Let the plugin's arrays be made of memory that is used again, and its threads look on before they "
          "sleep.")
      .def("create_client", &create_client, nb::arg("options"),
           "Start the plugin's devices. Raises XlaRuntimeError if it refuses, ForkError in a forked child.")
      .def("__repr__", [](const Plugin& p) { return "Plugin('" + p.path() + "')"; });
  m.def(
      "load_plugin",
      [](const std::string& path) {
        if (path.find('\0') != std::string::npos) {
          throw_python(PyExc_ValueError, "load_plugin: `path` holds a null character");
        }
        return without_gil([&] { return Plugin::load(path); });
      },
      nb::arg("path"), "Load a PJRT plugin library; the same object for the same file. Raises PluginError.");
  m.def("prefetch_library", &prefetch_library, nb::arg("path"),
        "Begin to load a library beside what follows; load_plugin() then has less to do.");
}

void bind_client(nb::module_& m) {
  nb::class_<Client>(m, "Client", nb::is_weak_referenceable(), "A plugin's devices, and what runs on them.")
      .def_prop_ro("plugin", &Client::plugin)
      .def_prop_ro("platform", &Client::platform)
      .def_prop_ro("platform_version", &Client::platform_version)
      .def_prop_ro("process_index", &Client::process_index)
      .def_prop_ro("devices", [](const Client& c) { return list_devices(c, false); })
      .def_prop_ro("addressable_devices", [](const Client& c) { return list_devices(c, true); })
      .def_prop_ro("closed", &Client::closed)
      .def(
          "compile",
          [](Client& c, const std::string& program, const nb::bytes& options) {
            std::string read = from_bytes(options);
            return without_gil([&] { return c.compile(program, read); });
          },
          nb::arg("program"), nb::arg("options"),
          "Compile StableHLO text with a serialised CompileOptionsProto. Raises XlaRuntimeError.")
      .def(
          "deserialize",
          [](Client& c, const nb::bytes& data, const nb::bytes& options) {
            std::string read = from_bytes(data), read_options = from_bytes(options);
            return without_gil([&] { return c.deserialize(read, read_options); });
          },
          nb::arg("data"), nb::arg("options") = nb::bytes("", 0),
          "Load what Executable.serialize() gave. Raises XlaRuntimeError if this plugin did not write it.")
      .def(
          "close", [](Client& c) { without_gil([&] { c.close(); }); },
          "Wait for pending work, then free everything. What the client made raises from then on.")
      .def("__repr__", [](const Client& c) {
        return "Client(" + c.platform() + ", " + std::to_string(c.devices().size()) + " devices)";
      });
}

void bind_device(nb::module_& m) {
  nb::class_<Device>(m, "Device", nb::is_weak_referenceable(), "One device of a client. Hashed by identity.")
      .def_ro("id", &Device::id)
      .def_ro("process_index", &Device::process_index)
      .def_ro("local_hardware_id", &Device::local_hardware_id)
      .def_ro("device_kind", &Device::kind)
      .def_ro("platform", &Device::platform)
      .def_prop_ro("client", [](const Device& d) { return d.client->self(); })
      .def_prop_ro("attributes", [](const Device& d) { return write_options(d.attributes()); })
      .def(
          "memory_stats", [](const Device& d) { return write_map(d.memory_stats()); },
          "Bytes in use, their limit and so on; an empty dict if the plugin does not say.")
      .def(
          "is_idle",
          [](const Device& d) {
            return without_gil([&] { return launches::idle(&d, launches::kPatience); });
          },
          "Whether the programs that were started on it have ended, as far as is known.")
      .def("__repr__", &Device::describe);
}

// ---- executables ----

// The arguments of every device, one after the other; each the only shard of an array.
std::vector<BufferRef> read_shards(const Executable& executable, nb::sequence shards, size_t& num_args) {
  size_t num_devices = executable.devices().size();
  if (nb::len(shards) != num_devices) {
    throw_python(PyExc_ValueError, "execute: %zu argument lists given, the program runs on %zu device(s)",
                 nb::len(shards), num_devices);
  }
  std::vector<BufferRef> buffers;
  for (size_t d = 0; d < num_devices; ++d) {
    nb::object list = shards[d];
    size_t count = nb::len(list);
    if (d == 0) num_args = count;
    if (count != num_args) {
      throw_python(PyExc_ValueError, "execute: device 0 has %zu arguments, device %zu has %zu", num_args, d,
                   count);
    }
    for (size_t i = 0; i < count; ++i) {
      nb::object item = list[i];
      if (!is_array(item.ptr())) {
        throw_python(PyExc_TypeError, "execute: argument %zu must be an ArrayImpl, got %R", i, item.ptr());
      }
      auto* array = reinterpret_cast<ArrayObject*>(item.ptr());
      check_live(array);
      if (array->shards.size() != 1) {
        throw_python(PyExc_ValueError, "execute: argument %zu has %zu shards; pass one device's part", i,
                     array->shards.size());
      }
      buffers.push_back(array->shards[0]);
    }
  }
  return buffers;
}

std::vector<AvalRef> read_avals(const Executable& executable, nb::sequence out_avals) {
  std::vector<AvalRef> avals;
  for (nb::handle item : out_avals) {
    std::tuple<nb::object, nb::object, bool> aval;
    if (!nb::try_cast(item, aval)) {
      throw_python(PyExc_TypeError, "execute: `out_avals` must hold (shape, dtype, weak_type), got %R",
                   item.ptr());
    }
    auto& [shape, dtype, weak] = aval;
    avals.push_back(intern_aval(shape.ptr(), dtype.ptr(), weak));
  }
  if (avals.size() != executable.num_outputs()) {
    throw_python(PyExc_ValueError, "execute: %zu out_avals given, the program has %zu results", avals.size(),
                 executable.num_outputs());
  }
  return avals;
}

void check_result(const Buffer& buffer, const AvalInfo& aval, size_t index) {
  if (buffer.type() == aval.type && buffer.dims() == aval.physical_dims) return;
  throw std::invalid_argument("execute: result " + std::to_string(index) + " is " +
                              describe(buffer.type(), buffer.dims()) + ", out_avals says " +
                              describe(aval.type, aval.physical_dims));
}

// The arguments whose buffers someone else uses too: other arrays, a cache, another argument.
std::vector<int64_t> shared_arguments(const std::vector<BufferRef>& buffers, size_t num_args) {
  constexpr long kOwn = 2;  // the array's reference, and the one in `buffers`
  std::vector<int64_t> shared;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].use_count() > kOwn) shared.push_back(static_cast<int64_t>(i % num_args));
  }
  return shared;
}

nb::list execute(Executable& executable, nb::sequence shards, nb::sequence out_avals) {
  size_t num_args = 0;
  std::vector<BufferRef> buffers = read_shards(executable, shards, num_args);
  std::vector<AvalRef> avals = read_avals(executable, out_avals);
  std::vector<Buffer*> args;
  for (const BufferRef& buffer : buffers) args.push_back(buffer.get());
  std::vector<BufferRef> outs(executable.devices().size() * avals.size());
  std::vector<int64_t> non_donatable = shared_arguments(buffers, num_args);
  without_gil([&] {
    executable.check_arguments(args.data(), num_args);
    executable.execute(args.data(), num_args, non_donatable, outs.data());
  });

  nb::list result;
  for (size_t d = 0; d < executable.devices().size(); ++d) {
    nb::list list;
    for (size_t o = 0; o < avals.size(); ++o) {
      BufferRef& out = outs[d * avals.size() + o];
      check_result(*out, *avals[o], o);
      list.append(nb::steal(checked(make_array(avals[o], std::move(out), /*committed=*/true))));
    }
    result.append(list);
  }
  return result;
}

void bind_executable(nb::module_& m) {
  nb::class_<Executable>(m, "Executable", nb::is_weak_referenceable(), "A compiled program on its devices.")
      .def_prop_ro("num_outputs", &Executable::num_outputs)
      .def_prop_ro("name", &Executable::name)
      .def_prop_ro("fingerprint", [](const Executable& e) { return to_bytes(e.fingerprint()); })
      .def_prop_ro("executions", &Executable::executions)
      .def_prop_ro("client", &Executable::client)
      .def_prop_ro("devices",
                   [](const Executable& e) {
                     nb::list out;
                     for (Device* d : e.devices()) out.append(nb::cast(d, nb::rv_policy::reference));
                     return out;
                   })
      .def("serialize",
           [](const Executable& e) { return to_bytes(without_gil([&] { return e.serialize(); })); })
      .def("config", [](const Executable& e) { return to_bytes(without_gil([&] { return e.config(); })); })
      .def("optimized_program",
           [](const Executable& e) { return to_bytes(without_gil([&] { return e.optimized_program(); })); })
      .def("cost_analysis",
           [](const Executable& e) { return write_map(without_gil([&] { return e.cost_analysis(); })); })
      .def("memory_stats", [](const Executable& e) { return write_map(e.memory_stats()); })
      .def("execute", &execute, nb::arg("shards"), nb::arg("out_avals"),
           "Run on one list of single-device arrays a device. `out_avals` holds (shape, dtype, weak_type) "
           "a result. Returns one list of arrays a device.");
}

// ---- what the devices did ----

nb::tuple read_traffic() {
  return nb::make_tuple(traffic.to_device.load(), traffic.to_host.load(), traffic.between.load());
}

nb::tuple stop_timeline(double patience) {
  if (!(patience >= 0 && patience < 1e6)) {
    throw_python(PyExc_ValueError, "stop_timeline: `patience` must be a number of seconds");
  }
  uint64_t lost = 0;
  auto wait = std::chrono::milliseconds(static_cast<int64_t>(patience * 1000));
  std::vector<Happening> told = without_gil([&] { return timeline::stop(wait, lost); });
  constexpr const char* names[] = {"launch", "run", "to_device", "to_host", "between"};
  nb::list out;
  for (const Happening& h : told) {
    out.append(nb::make_tuple(names[static_cast<size_t>(h.what)], h.name, h.place, h.start, h.end, h.thread,
                              h.bytes));
  }
  return nb::make_tuple(out, lost);
}

void bind_timeline(nb::module_& m) {
  m.def("traffic", &read_traffic, "Bytes moved so far: to devices, to the host, between devices.");
  m.def("start_timeline", &timeline::start, "Begin to record launches, runs and transfers.");
  m.def("stop_timeline", &stop_timeline, nb::arg("patience"),
        "End the recording, after `patience` seconds at most for programs to end. Returns a list of (what, "
        "program, device, start, end, thread, bytes), times in nanoseconds of the monotonic clock, and how "
        "many "
        "there was no room for.");
}

void bind_blocks(nb::module_& m) {
  m.def(
      "keep_blocks",
      [](bool kept) {
        without_gil([&] {
          small_blocks::enable(kept);
          large_blocks::enable(kept);
        });
      },
      nb::arg("kept"),
      "Whether memory of arrays and programs on CPUs is kept when it is free, to be used again.");
  m.def(
      "release_blocks",
      [] {
        without_gil([] {
          large_blocks::release();
          small_blocks::release();
        });
      },
      "Return the memory that is kept to the system.");
  m.def(
      "large_blocks",
      [] {
        large_blocks::Counts counts = large_blocks::counts();
        nb::dict told;
        told["taken"] = counts.taken;
        told["reused"] = counts.reused;
        told["bytes_in_use"] = counts.bytes_in_use;
        told["bytes_kept"] = counts.bytes_kept;
        told["most_in_use"] = counts.most_in_use;
        return told;
      },
      "How many blocks programs have taken, how many of these had been used before, and the bytes now and at "
      "most.");
  m.def(
      "small_blocks",
      [] {
        small_blocks::Counts counts = small_blocks::counts();
        nb::dict told;
        told["bytes_in_use"] = counts.bytes_in_use;
        told["bytes_kept"] = counts.bytes_kept;
        return told;
      },
      "The bytes of memory that is cut into small blocks, and of what is kept to be.");
}

void bind_patience(nb::module_& m) {
  m.def(
      "set_patience",
      [](int64_t microseconds) {
        if (microseconds < 0 || microseconds > 1000000) {
          throw_python(PyExc_ValueError,
                       "jax_cpu_spin_microseconds must be from 0, for not at all, to 1000000");
        }
        patience::set(microseconds);
      },
      nb::arg("microseconds"), "For how long threads on CPUs that wait look on before they sleep.");
}

}  // namespace

void bind_pjrt(nb::module_& m) {
  // Devices and clients stay referenced by module globals until the process ends, which is no leak.
  nb::set_leak_warnings(false);
  bind_plugin(m);
  bind_client(m);
  bind_device(m);
  bind_executable(m);
  bind_timeline(m);
  bind_blocks(m);
  bind_patience(m);
  m.def("compile_count", &compile_count, "How many programs this process has compiled.");
  m.def("deserialize_count", &deserialize_count, "How many serialised executables this process has loaded.");
  m.def(
      "close_all_clients", [] { without_gil(close_all_clients); },
      "Close every client. Runs by itself at exit, while threads and callbacks can still finish.");
  // A library's constructors call nothing of Python's, so they may be waited for with the GIL.
  m.def("await_prefetched", &await_prefetched, "Wait until libraries that are loaded ahead are there.");
  nb::object at_exit = nb::module_::import_("atexit").attr("register");
  at_exit(m.attr("await_prefetched"));
  at_exit(m.attr("close_all_clients"));
}

}  // namespace anima
