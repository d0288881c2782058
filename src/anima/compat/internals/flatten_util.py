"""For `blackjax`."""

from anima.flatten_util import ravel_pytree as ravel_pytree
