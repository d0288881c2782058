"""For `flax`."""
