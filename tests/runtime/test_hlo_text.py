"""The optimised program as text names what XLA made of the operations."""

import pytest

import anima.numpy as np
from anima import jit
from anima.runtime.hlo_text import hlo_text


def test_text_of_a_compiled_program():
    text = jit(lambda x: np.sum(np.sin(x) * 2.0)).lower(np.ones((3, 4))).compile().as_text()
    assert text.startswith("HloModule jit")
    assert "ENTRY" in text and "ROOT" in text
    assert "f32[3,4]{1,0} parameter(0)" in text
    assert "sine(" in text and "reduce(" in text


def test_results_that_take_the_place_of_arguments():
    """As XLA itself writes it."""
    f = lambda a, b, s: (s * 2, b.at[1].set(3.0), a + 1)
    args = (np.ones((3, 4)), np.ones((5, 5)), np.ones(7))
    head = lambda **options: jit(f, **options).lower(*args).compile().as_text().splitlines()[0]
    assert head() == "HloModule jit__lambda"
    assert head(donate_argnums=0) == "HloModule jit__lambda, input_output_alias={ {2}: (0, {}, may-alias) }"
    assert head(donate_argnums=(0, 1)).endswith(
        ", input_output_alias={ {1}: (1, {}, may-alias), {2}: (0, {}, may-alias) }"
    )
    one = jit(lambda x: x + 1, donate_argnums=0).lower(np.ones(3)).compile().as_text()
    assert one.splitlines()[0].endswith(", input_output_alias={ {}: (0, {}, may-alias) }")


def test_garbage_is_refused():
    with pytest.raises(ValueError):
        hlo_text(b"")
    with pytest.raises(ValueError):
        hlo_text(b"\xff\xff\xff")
