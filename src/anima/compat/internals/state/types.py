"""For `flax`: the type of references."""

from anima.state.aval import AbstractRef as AbstractRef
