"""For `equinox`."""

from anima import effects_barrier

wait_for_tokens = effects_barrier
