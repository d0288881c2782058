"""Programs as people write them, each in a file of its own; `bench/programs/whole.py` measures them."""
