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


def test_garbage_is_refused():
    with pytest.raises(ValueError):
        hlo_text(b"")
    with pytest.raises(ValueError):
        hlo_text(b"\xff\xff\xff")
