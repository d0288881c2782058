"""Plugins are found without running any code of theirs, and misuse is said before XLA ends the process."""

import os
import sys

import pytest

from anima.config import pjrt_plugin_path
from anima.errors import PluginError
from anima.runtime import plugins

pytestmark = pytest.mark.cpu


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """An empty folder on the path, and a function that puts a plugin package into it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(module, entry_points="", libraries=("plugin.so",), content=b"GetPjrtApi\0"):
        folder = tmp_path.joinpath(*module.split("."))
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
        for library in libraries:
            (folder / library).write_bytes(content if library != "other.so" else b"nothing")
        if entry_points:
            info = tmp_path / f"{module.replace('.', '_')}-1.0.dist-info"
            info.mkdir()
            (info / "entry_points.txt").write_text(entry_points)
        return folder

    return add


def test_the_cpu_plugin_is_found():
    spec = plugins.discover()["cpu"]
    assert os.path.isfile(spec.path) and "xla_cpu_pjrt" in spec.path


@pytest.mark.parametrize(
    ("group", "name", "platform"),
    [
        ("jax_plugins", "xla_fake13", "fake"),
        ("xla_plugins", "xla_fake_pjrt", "fake"),
        ("anima.pjrt_plugins", "fake", "fake"),
        ("jax_plugins", "fake-plugin", "fake"),
    ],
)
def test_entry_points(packages, group, name, platform):
    folder = packages(
        "some_plugins.fake", f"[console_scripts]\na = b\n\n[{group}]\n{name} = some_plugins.fake\n"
    )
    found = plugins.discover()
    assert found[platform] == (platform, str(folder / "plugin.so"), "the package some_plugins_fake")
    assert "some_plugins" not in sys.modules


def test_the_library_is_the_one_that_exports_the_entry(packages):
    folder = packages(
        "fake_plugin", "[jax_plugins]\nfake = fake_plugin", libraries=("a_pjrt.so", "other.so", "z.so")
    )
    (folder / "a_pjrt.so").write_bytes(b"nothing")
    assert plugins.discover()["fake"].path == str(folder / "z.so")


def test_packages_without_a_library_are_passed_over(packages):
    packages("fake_plugin", "[jax_plugins]\nfake = fake_plugin", libraries=())
    packages("gone", "[jax_plugins]\nother = not_there.at_all")
    assert not {"fake", "other"} & set(plugins.discover())


def test_packages_known_by_name(packages):
    folder = packages("libtpu", libraries=("libtpu.so",))
    assert plugins.discover()["tpu"].path == str(folder / "libtpu.so")


def test_paths_come_first(packages, tmp_path, monkeypatch):
    packages("fake_plugin", "[jax_plugins]\nfake = fake_plugin")
    for name in ("one.so", "two.so"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setenv("PJRT_NAMES_AND_LIBRARY_PATHS", f"fake:{tmp_path}/one.so, second:{tmp_path}/two.so")
    assert plugins.discover()["fake"].path == str(tmp_path / "one.so")
    with pjrt_plugin_path(f"fake:{tmp_path}/two.so"):
        found = plugins.discover()
    assert (found["fake"].path, found["second"].path) == (str(tmp_path / "two.so"),) * 2


@pytest.mark.parametrize(
    ("value", "words"), [("/a/b.so", "name:path,name:path"), ("x:/no/b.so", "does not exist")]
)
def test_paths_that_are_wrong(value, words):
    with pjrt_plugin_path(value), pytest.raises(PluginError, match=words):
        plugins.discover()


def test_a_missing_plugin_names_the_command():
    error = plugins.missing("cuda", plugins.discover())
    assert str(error) == "Unknown backend: no PJRT plugin for the platform 'cuda' is installed"
    notes = "\n".join(error.__notes__)
    assert (
        'pip install "anima[cuda13]"' in notes and "ANIMA_PJRT_PLUGIN_PATH=cuda:" in notes and "cpu" in notes
    )


def test_a_library_that_is_no_plugin(tmp_path):
    (tmp_path / "x.so").write_bytes(b"not a library")
    with pytest.raises(PluginError, match=r"x\.so"):
        plugins.load(plugins.PluginSpec("x", str(tmp_path / "x.so"), "a test"))


def test_unknown_flags_are_refused(monkeypatch, tmp_path):
    library = plugins.discover()["cpu"].path
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_cpu_enable_fast_math")
    plugins.check_xla_flags(library)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emiters=false")
    with pytest.raises(PluginError, match="XLA_FLAGS has '--xla_cpu_use_fusion_emiters=false'") as caught:
        plugins.check_xla_flags(library)
    assert "--xla_cpu_use_fusion_emitters" in caught.value.__notes__[0]
    (tmp_path / "flags").write_text("--xla_cpu_enable_fast_math --xla_nonsense=3\n")
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    with pytest.raises(PluginError, match="xla_nonsense"):
        plugins.check_xla_flags(library)
    monkeypatch.setenv("XLA_FLAGS", "xla_cpu_enable_fast_math")
    with pytest.raises(PluginError):
        plugins.check_xla_flags(library)


def test_an_unknown_flag_does_not_end_the_process(run_python):
    code = """
from anima.errors import PluginError
from anima.runtime.devices import devices
try:
    devices()
except PluginError as error:
    print(error)
"""
    assert "--xla_typo=1" in run_python(code, env={"XLA_FLAGS": "--xla_typo=1"}).stdout


def test_kernels_of_a_foreign_package(packages, monkeypatch):
    """A package of another release, or a broken one, must not keep the plugin from working."""
    folder = packages("jax_cuda13_plugin", libraries=("_linalg.so", "_solver.so"), content=b"no library")
    assert plugins._cuda_kernels_folder() == str(folder)
    plugins._register_cuda_kernels(None)
    assert plugins.register_hybrid_kernels(None) is False


def test_nvidia_libraries_that_cannot_be_loaded(packages, tmp_path):
    packages("nvidia.cu13.lib", libraries=("libcudart.so.13", "libcudnn.so.9"), content=b"no library")
    (tmp_path / "nvidia" / "empty").mkdir()
    plugins._preload_nvidia_libraries("/somewhere/else/plugin.so")


MAPPED = """
import sys, time
import anima
def mapped():
    with open("/proc/self/maps") as maps:
        return "xla_cpu_pjrt.so" in maps.read()
end = time.monotonic() + {seconds}
while not mapped() and time.monotonic() < end:
    time.sleep(0.02)
print(mapped())
"""


def test_the_library_is_loaded_beside_the_import(run_python):
    done = run_python(MAPPED.format(seconds=30) + "print(len(anima.devices('cpu')))\n")
    assert (done.stdout.split(), done.stderr) == (["True", "1"], "")


@pytest.mark.parametrize(
    "env", [{"ANIMA_PLATFORMS": "cuda"}, {"PJRT_NAMES_AND_LIBRARY_PATHS": f"cpu:{__file__}"}]
)
def test_nothing_is_loaded_ahead_where_others_are_named(run_python, env):
    assert run_python(MAPPED.format(seconds=1), env=env).stdout == "False\n"
