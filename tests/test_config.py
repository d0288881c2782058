"""Options: reading, setting, overriding, and the key that stands for the traced ones."""

import os
import threading

import pytest

from anima import _native
from anima.config import (
    State,
    config,
    debug_nans,
    default_device,
    default_matmul_precision,
    enable_x64,
    log_compiles,
    numpy_rank_promotion,
    transfer_guard,
    transfer_guard_device_to_host,
    transfer_guard_host_to_device,
)
from anima.options import parse_number


@pytest.fixture(autouse=True)
def _options_as_before():
    before = {name: value for name, value in config.values.items() if "transfer_guard" not in name}
    yield
    for name, value in before.items():
        if config.read(name) != value:
            config.update(name, value)


def test_prefixes_mean_the_same():
    for name in ("jax_numpy_rank_promotion", "anima_numpy_rank_promotion", "numpy_rank_promotion"):
        config.update(name, "warn")
        assert getattr(config, name) == config.read(name) == "warn"
        config.update(name, "allow")
    assert config.values["jax_numpy_rank_promotion"] == "allow"
    assert "jax_numpy_rank_promotion" in dir(config)


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        (
            "jax_enable_x46",
            True,
            AttributeError,
            "there is no option jax_enable_x46; did you mean jax_enable_x64",
        ),
        ("jax_enable_x64", "blah", ValueError, "jax_enable_x64 takes True or False, not 'blah'"),
        ("jax_enable_x64", None, TypeError, "takes True or False"),
        ("jax_enable_x64", 2, ValueError, "takes True or False"),
        (
            "jax_numpy_rank_promotion",
            "warm",
            ValueError,
            "'allow', 'warn', 'raise', not 'warm'; did you mean warn",
        ),
        ("jax_num_cpu_devices", "two", ValueError, "takes an integer, not 'two'"),
        ("jax_num_cpu_devices", 1.5, ValueError, "takes an integer"),
        ("jax_num_cpu_devices", True, TypeError, "takes an integer"),
        ("jax_default_device", 0, TypeError, "devices()[0]"),
        ("jax_compilation_cache_dir", 3, TypeError, "takes a string"),
    ],
)
def test_what_is_not_valid_is_said(name, value, error, words):
    before = config.values
    with pytest.raises(error) as caught:
        config.update(name, value)
    assert words in str(caught.value)
    assert config.values == before


def test_words_for_booleans_and_enumerations():
    for value in ("true", "1", "on", 1):
        config.update("jax_enable_x64", value)
        assert config.jax_enable_x64 is True
    config.update("jax_enable_x64", "off")
    assert config.x64_enabled is False

    class Precision:
        name = "HIGHEST"

    with default_matmul_precision(Precision()):
        assert config.jax_default_matmul_precision == "highest"
    with default_matmul_precision("bf16_bf16_f32"):
        assert config.jax_default_matmul_precision == "BF16_BF16_F32"


def test_assignment_is_refused():
    with pytest.raises(AttributeError, match=r'config.update\("jax_enable_x64", True\)'):
        config.jax_enable_x64 = True


def test_an_option_is_not_its_value():
    with pytest.raises(TypeError, match=r"enable_x64\.value"):
        bool(enable_x64)


def test_blocks_nest_and_survive_exceptions():
    with enable_x64():
        assert enable_x64.value and _native.x64_enabled()
        with pytest.raises(KeyError), enable_x64(False):
            assert not enable_x64.value and not _native.x64_enabled()
            raise KeyError
        assert enable_x64.value and _native.x64_enabled()
    assert not enable_x64.value and not _native.x64_enabled()


def test_a_block_needs_a_value_unless_it_is_a_switch():
    with pytest.raises(TypeError, match=r"with numpy_rank_promotion\(value\)"):
        numpy_rank_promotion()
    with default_device(None):
        pass


def test_a_block_can_be_entered_again_and_decorates():
    block = numpy_rank_promotion("raise")
    with block, block:
        assert numpy_rank_promotion.value == "raise"
    assert numpy_rank_promotion.value == "allow"

    @numpy_rank_promotion("warn")
    def read(suffix):
        """Reads."""
        return numpy_rank_promotion.value + suffix

    assert read("!") == "warn!" and read.__doc__ == "Reads."
    assert numpy_rank_promotion.value == "allow"


def test_blocks_left_out_of_order_put_back_only_their_own():
    def generator():
        with enable_x64():
            yield enable_x64.value

    values = generator()
    assert next(values)
    with debug_nans():
        values.close()
        assert not enable_x64.value and not _native.x64_enabled()
        assert debug_nans.value
    assert not debug_nans.value


def test_the_key_stands_for_the_traced_values():
    outside = _native.options_key()
    with enable_x64():
        first = _native.options_key()
        with debug_nans():
            both = _native.options_key()
    with debug_nans(), enable_x64():
        assert _native.options_key() == both
    assert len({outside, first, both}) == 3
    assert _native.options_key() == outside
    with log_compiles():  # changes no program
        assert _native.options_key() == outside
    with enable_x64(False):
        assert _native.options_key() == outside


def test_updates_change_the_key_at_once():
    outside = _native.options_key()
    config.update("jax_debug_nans", True)
    assert _native.options_key() != outside
    config.update("jax_debug_nans", False)
    assert _native.options_key() == outside
    with enable_x64():
        inside = _native.options_key()
        config.update("jax_debug_nans", True)
        assert debug_nans.value and _native.options_key() != inside
        config.update("jax_enable_x64", False)
        assert enable_x64.value
    assert debug_nans.value and _native.options_key() != outside


def test_threads_have_their_own_blocks():
    seen = {}

    def look():
        seen["value"], seen["x64"] = enable_x64.value, _native.x64_enabled()

    with enable_x64():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == {"value": False, "x64": False}


def test_a_block_does_not_see_half_of_an_update_of_another_thread():
    with enable_x64():
        key = _native.options_key()
        thread = threading.Thread(target=config.update, args=("jax_debug_nans", True))
        thread.start()
        thread.join()
        assert (debug_nans.value, _native.options_key()) == (False, key)
    assert debug_nans.value


def test_context_values_are_part_of_the_key(run_python):
    # In a process of its own: a registered value stays.
    code = """
from anima import _native
from anima.config import config, register_context_value
mesh = register_context_value("test mesh")
outside = _native.options_key()
with mesh(("x", 4)):
    assert mesh.value == ("x", 4)
    inside = _native.options_key()
    with mesh(("x", 8)):
        assert _native.options_key() not in (inside, outside)
    assert _native.options_key() == inside != outside
assert mesh.value is None and _native.options_key() == outside
assert "jax_test mesh" not in config.values
keys = set()
for size in range(5000):  # more than are remembered
    with mesh(size):
        keys.add(_native.options_key())
assert len(keys) == 5000
"""
    run_python(code)


def test_the_transfer_guard_sets_three():
    with transfer_guard("disallow"):
        assert transfer_guard_host_to_device.value == transfer_guard_device_to_host.value == "disallow"
        with transfer_guard_host_to_device("allow"):
            assert transfer_guard_host_to_device.value == "allow"
            assert transfer_guard_device_to_host.value == "disallow"
    assert transfer_guard_device_to_host.value is None


def test_hooks_may_refuse():
    option = State("test_option", 1, parse_number(int), "")

    def refuse(value):
        if value == 7:
            raise RuntimeError("too late")

    option.on_set(refuse)
    option.set("6")
    with pytest.raises(RuntimeError, match="too late"):
        option.set(7)
    assert option.value == option.process_value == 6


def test_environment_variables(run_python):
    code = "from anima.config import config; print(config.jax_enable_x64, config.jax_numpy_rank_promotion)"
    names = {"ANIMA_NUMPY_RANK_PROMOTION": "warn", "JAX_NUMPY_RANK_PROMOTION": "raise"}
    assert run_python(code, env={"JAX_ENABLE_X64": "True", **names}).stdout.split() == ["True", "warn"]
    result = run_python(code, env={"JAX_ENABLE_X64": "perhaps"}, expect=1)
    assert "the environment variable JAX_ENABLE_X64 takes True or False, not 'perhaps'" in result.stderr


def test_tests_have_checks_on_and_a_cache_of_their_own() -> None:
    """Also in a process that runs tests itself, where files beside the tests import anima first."""
    assert config.jax_enable_checks
    assert os.environ["ANIMA_COMPILATION_CACHE_DIR"] == config.jax_compilation_cache_dir
