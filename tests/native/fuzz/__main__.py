"""Runs one group of random cases: `python -m tests.native.fuzz GROUP SEED COUNT [FIRST]`.

Invariant: a case is decided by group, seed and number alone, so the number that a dead process last wrote down is the
one to run again. Every case may raise any exception, except those that say that the C++ code broke a rule of its own.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import re
import sys
import traceback

from tests.native.fuzz import bytes_cases, call_cases, function_cases, memory_cases, tree_cases
from tests.native.fuzz.pool import Pool, nt

GROUPS = {
    "functions": function_cases.call_function,
    "types": function_cases.use_type,
    "programs": bytes_cases.compile_garbage,
    "executables": bytes_cases.load_garbage,
    "capsules": memory_cases.import_capsule,
    "buffers": memory_cases.odd_memory,
    "trees": tree_cases.odd_tree,
    "states": tree_cases.odd_state,
    "plans": call_cases.odd_plan,
    "calls": call_cases.odd_call,
}
# Exceptions of C++ that nobody translated.
RAW = re.compile(r"^(std::|Unexpected index|basic_|vector::|map::|bad_|unordered_map)")


class BrokenRule(Exception):
    """A case that raised what it must not."""


def text_of(error: Exception) -> str:
    """What an exception says, if its arguments let it."""
    try:
        return str(error)
    except Exception:
        return ""


def run(group: str, seed: int, count: int, first: int, progress: int) -> None:
    """Run the cases `first` to `count`, writing each number down before its case."""
    pool = Pool()
    for number in range(first, count):
        os.pwrite(progress, f"{number:<10}".encode(), 0)
        pool.begin(random.Random(f"{group} {seed} {number}"))
        try:
            GROUPS[group](pool)
        except Exception as error:
            said = text_of(error)
            if isinstance(error, SystemError) or RAW.match(said):
                raise BrokenRule(f"case {number} of {group}: {type(error).__name__}: {said}") from error
        finally:
            pool.end()
    gc.collect()
    pool.check_health()


def main(arguments: list[str]) -> int:
    """Run the group that the command line names."""
    group, seed, count = arguments[0], int(arguments[1]), int(arguments[2])
    first = int(arguments[3]) if len(arguments) > 3 else 0
    progress = os.open(os.environ.get("FUZZ_PROGRESS", os.devnull), os.O_WRONLY)
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(os.environ.get("FUZZ_LIMIT", 900)), exit=True)
    sys.setrecursionlimit(3000)
    try:
        run(group, seed, count, first, progress)
    except BrokenRule:
        traceback.print_exc()
        return 1
    nt.close_all_clients()
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(status)
