"""For `equinox`."""

from anima.runtime.effects import effects_barrier

wait_for_tokens = effects_barrier
