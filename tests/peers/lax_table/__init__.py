"""The functions of `lax` that take arrays, with descriptions of the arguments to compare them with JAX's on.

Invariant: an entry in one of the modules is all that a function needs to be compared: over dtypes and in random calls.
"""

from __future__ import annotations

from tests.peers.draws import Choose, differences
from tests.peers.lax_table import contracting, elementwise, indexing, linear, reducing, shaping, transforming
from tests.peers.lax_table.entry import TABLE, finding, in_mode
from tests.peers.lax_table.source import Drawn

MODULES = (contracting, elementwise, indexing, linear, reducing, shaping, transforming)

# Functions that other files of this folder compare on chosen arguments, because they take functions, axis names, tokens or
# tables of numbers that must fit together; `rng_uniform` because JAX ends the process for some dtypes. Control flow and
# collectives are also compared in random programs, by test_composition_peer.py.
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        ("after_all", "composite", "create_token", "dce_sink", "ragged_dot_general", "rng_uniform", "scaled_dot",
         "with_sharding_constraint"),
        "test_fft_peer.py",
    ),
    "pcast": "test_differences.py",
    **dict.fromkeys(
        ("all_gather", "all_to_all", "axis_index", "axis_size", "pbroadcast", "pmax", "pmean", "pmin", "ppermute",
         "pshuffle", "psum", "psum_scatter", "pswapaxes"),
        "test_collectives_peer.py",
    ),
    **dict.fromkeys(
        ("associative_scan", "cond", "custom_linear_solve", "custom_root", "fori_loop", "map", "platform_dependent",
         "scan", "switch", "while_loop"),
        "test_control_peer.py",
    ),
}  # fmt: skip


def check(name: str, traced: int, performed: int, seed: int = 0) -> None:
    """Compare random calls of a function.

    Args:
      traced: of how many to compare the types of the results.
      performed: of how many to compare the numbers, too.
      seed: of the calls.
    Raises:
      AssertionError: the libraries differ in some.
    """
    entry = TABLE[name]
    for examples, run in ((traced, False), (performed, True)):

        def compare(choose: Choose, run: bool = run) -> str | None:
            source = Drawn(choose, entry.usual)
            with in_mode(source.x64):
                call = entry.call(source)
                found = finding(entry, call, run)
            return found and f"{call}\nin {64 if source.x64 else 32}-bit mode: {found}"

        found = differences(compare, examples, f"{name} {run} {seed}")
        assert not found, "\n\n".join(found)
