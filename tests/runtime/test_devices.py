"""Devices: one client a platform, made when first needed, with the options that the user chose."""

import threading

import pytest

from anima.config import config, default_device as default_device_option
from anima.errors import PluginError, XlaRuntimeError
from anima.runtime import devices

pytestmark = pytest.mark.cpu


def test_the_devices_of_the_cpu():
    (cpu,) = devices.devices("cpu")
    assert devices.local_devices(backend="cpu") == [cpu] == devices.local_devices(0, "cpu")
    assert devices.devices("cpu")[0] is cpu
    assert cpu.client is devices.client("cpu")
    assert (cpu.platform, cpu.id) == ("cpu", 0)
    assert (
        devices.device_count("cpu") == devices.local_device_count("cpu") == devices.process_count("cpu") == 1
    )
    assert devices.process_index("cpu") == 0 and devices.process_indices("cpu") == [0]
    with pytest.raises(ValueError, match=r"process_index must be in \[0, 1\), got 1"):
        devices.local_devices(1, "cpu")


def test_the_default_device():
    first = devices.default_device()
    assert first is devices.devices()[0]
    (cpu,) = devices.devices("cpu")
    for choice in (cpu, "cpu"):
        with default_device_option(choice):
            assert devices.default_device() is cpu
    assert devices.resolve_device(cpu) is devices.resolve_device("cpu") is cpu
    with pytest.raises(TypeError, match="expected a device or the name of a platform, got 3"):
        devices.resolve_device(3)


def test_a_platform_without_plugin():
    with pytest.raises(PluginError, match="no PJRT plugin for the platform 'nonsense' is installed"):
        devices.devices("nonsense")


def test_platforms_restricts_and_orders(run_python):
    code = """
from anima.config import config
from anima.runtime.devices import default_backend, devices
config.update("jax_platforms", "nonsense,cpu")
try:
    devices()
except RuntimeError as error:
    print(error)
print(devices("cpu"))
try:
    devices("tpu")
except RuntimeError as error:
    print(error)
config.update("jax_platforms", "cpu")
print(default_backend())
"""
    assert run_python(code).stdout.splitlines() == [
        "Unknown backend: no PJRT plugin for the platform 'nonsense' is installed",
        "[CpuDevice(id=0)]",
        "the platform 'tpu' is not among those of jax_platforms: nonsense, cpu",
        "cpu",
    ]


def test_an_accelerator_that_does_not_start(run_python, tmp_path):
    (tmp_path / "fake.so").write_bytes(b"no library")
    code = """
import warnings
from anima.runtime.devices import devices
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(devices())
print(caught[0].category.__name__, caught[0].message)
"""
    output = run_python(code, env={"ANIMA_PJRT_PLUGIN_PATH": f"fake:{tmp_path}/fake.so"}).stdout.splitlines()
    assert output[0] == "[CpuDevice(id=0)]"
    assert output[1].startswith("RuntimeWarning the plugin for fake is installed but does not start")


@pytest.mark.parametrize(
    "environment",
    [{"JAX_NUM_CPU_DEVICES": "3"}, {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}],
)
def test_the_number_of_cpu_devices(run_python, environment):
    code = """
from anima.config import config
from anima.runtime.devices import devices
print(len(devices()))
config.update("jax_num_cpu_devices", 3)
try:
    config.update("jax_num_cpu_devices", 4)
except RuntimeError as error:
    print(error)
"""
    count, error = run_python(code, env=environment).stdout.splitlines()
    assert count == "3" and "before the first use of the CPU, which has 3 device(s)" in error


def test_importing_starts_nothing(run_python):
    code = """
from anima.runtime import compiler, devices
import sys
assert not devices._backends
assert not {"logging", "hashlib", "difflib", "importlib.metadata"} & (set(sys.modules) - before)
"""
    run_python("import sys, numpy; before = set(sys.modules)\n" + code)


def test_threads_make_one_client(run_python):
    code = """
import threading
from anima.runtime.devices import devices
found = []
threads = [threading.Thread(target=lambda: found.append(devices()[0])) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 8 and len(set(map(id, found))) == 1
"""
    run_python(code)


def test_nothing_is_printed_by_a_chosen_platform(run_python):
    done = run_python("from anima.runtime.devices import devices; devices('cpu')")
    assert (done.stdout, done.stderr) == ("", "")


def test_clearing_makes_new_clients(run_python):
    code = """
from anima.runtime import devices
old = devices.client()
devices.clear_backends()
assert old.closed
assert devices.client() is not old and not devices.client().closed
"""
    run_python(code)


def test_gpu_options(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    assert devices._gpu_options("cuda") == {
        "platform_name": "cuda",
        "allocator": "default",
        "preallocate": False,
    }
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", ".5")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_ALLOCATOR", "cuda_async")
    config.update("jax_cuda_visible_devices", "0,2")
    try:
        assert devices._gpu_options("cuda") == {
            "platform_name": "cuda",
            "allocator": "cuda_async",
            "preallocate": True,
            "memory_fraction": 0.5,
            "visible_devices": [0, 2],
        }
    finally:
        config.update("jax_cuda_visible_devices", "all")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_ALLOCATOR", "best")
    with pytest.raises(PluginError, match="must be default, platform, bfc or cuda_async, not 'best'"):
        devices._gpu_options("cuda")


def test_a_plugin_without_our_option(monkeypatch):
    class Plugin:
        def create_client(self, options):
            if options:
                raise XlaRuntimeError("unknown option", 3)
            return client

    (cpu,) = devices.devices("cpu")
    client = cpu.client
    monkeypatch.setattr(devices, "_backends", {})
    monkeypatch.setattr(devices.plugins, "load", lambda spec: Plugin())
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert devices._start("cpu", devices.plugins.discover()).client is client
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    with pytest.raises(XlaRuntimeError, match="unknown option"):
        devices._start("cpu", devices.plugins.discover())


def test_named_client_options():
    text = "a:1;b:true; c:0.5;d:text:with colon;e:[1, 2]"
    assert devices._named_options(text) == {"a": 1, "b": True, "c": 0.5, "d": "text:with colon", "e": [1, 2]}
    assert devices._named_options(None) == {}


def test_asking_from_threads_while_others_ask():
    found = []
    threads = [threading.Thread(target=lambda: found.append(devices.default_device())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [devices.default_device()] * 4


_USE = "import anima; anima.clear_caches(); anima.devices(); anima.numpy.ones(2); anima.devices()"
_LINE = "No GPU/TPU found, falling back to CPU.\n"
_FREE = {"JAX_PLATFORMS": "", "ANIMA_PLATFORMS": "", "JAX_PLATFORM_NAME": "", "ANIMA_PLATFORM_NAME": ""}


@pytest.mark.skipif(any(map(devices._has_device, ("cuda", "rocm", "tpu"))), reason="there is an accelerator")
@pytest.mark.parametrize("logging", ["", "import logging; "])
def test_a_program_is_told_once_that_there_is_no_accelerator(run_python, logging):
    assert run_python(logging + _USE, env=_FREE).stderr == _LINE


@pytest.mark.parametrize(
    "setting",
    [
        {"JAX_PLATFORMS": "cpu"},
        {"ANIMA_PLATFORMS": "cpu"},
        {"JAX_PLATFORM_NAME": "cpu"},
        {"JAX_LOGGING_LEVEL": "ERROR"},
    ],
)
def test_who_chooses_the_platform_is_not_told(run_python, setting):
    assert run_python(_USE, env=_FREE | setting).stderr == ""
