"""Compare many random calls of functions of `lax` with JAX's, and print where they differ."""

from __future__ import annotations

import argparse

from tests.peers.lax_table import TABLE, check, derived


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.lax_table", description=__doc__)
    parser.add_argument("names", nargs="*", help="functions of lax (default: all)")
    parser.add_argument("--examples", type=int, default=200, help="calls of each function that are traced")
    parser.add_argument("--performed", type=int, help="those that are performed (default: a quarter)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--derived", action="store_true", help="derivatives and batches of the calls instead")
    given = parser.parse_args()
    performed = given.examples // 4 if given.performed is None else given.performed
    for name in given.names or sorted(TABLE):
        try:
            if not given.derived:
                check(name, given.examples, performed, given.seed)
            elif TABLE[name].traced:
                derived.check(name, given.examples, given.seed)
                derived.check(name, performed, given.seed, run=True)
        except AssertionError as error:
            print(f"{name}: {error}\n", flush=True)


main()
