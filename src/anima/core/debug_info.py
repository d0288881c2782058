"""What a traced function, its arguments and its results are called: for messages, never for meaning.

Invariant: `arg_names` and `result_paths`, where known, have one entry for each argument and result of the program.
"""

from __future__ import annotations

from collections.abc import Sequence

from anima.records import NamedTuple


class DebugInfo(NamedTuple):
    """Names for messages about a program.

    Args:
      traced_for: the transformation that traced it, such as "jit".
      func_src_info: the function and where it is defined: "f at file.py:3".
      arg_names: one for each argument, such as "x['weights']"; None if not known.
      result_paths: one for each result, such as "result[0]"; None if not known.

    >>> from anima.core.debug_info import DebugInfo
    >>> DebugInfo("jit", "f at model.py:3", ("x", "y[0]")).func_name
    'f'
    """

    traced_for: str
    func_src_info: str
    arg_names: tuple[str, ...] | None = None
    result_paths: tuple[str, ...] | None = None

    @property
    def func_name(self) -> str:
        return self.func_src_info.partition(" at ")[0]

    @property
    def func_filename(self) -> str | None:
        """The file of the function, if known."""
        place = self.func_src_info.partition(" at ")[2]
        return place.rpartition(":")[0] or None

    @property
    def func_lineno(self) -> int | None:
        """The line of the function, if known."""
        line = self.func_src_info.partition(" at ")[2].rpartition(":")[2]
        return int(line) if line.isdecimal() else None

    def replace_func_name(self, name: str) -> DebugInfo:
        """The same with another name for the function."""
        _, at, place = self.func_src_info.partition(" at ")
        return self._replace(func_src_info=name + at + place)

    def safe_arg_names(self, expected_count: int) -> tuple[str, ...]:
        """The names of so many arguments; empty texts if they are not known."""
        return _or_empty(self.arg_names, expected_count)

    def safe_result_paths(self, expected_count: int) -> tuple[str, ...]:
        """The paths of so many results; empty texts if they are not known."""
        return _or_empty(self.result_paths, expected_count)

    def filter_arg_names(self, keep: Sequence[bool]) -> tuple[str, ...] | None:
        """The names of the arguments where `keep` is True."""
        return _chosen(self.arg_names, keep)

    def filter_result_paths(self, keep: Sequence[bool]) -> tuple[str, ...] | None:
        """The paths of the results where `keep` is True."""
        return _chosen(self.result_paths, keep)

    def resolve_result_paths(self) -> DebugInfo:
        """The same; paths are known from the start here."""
        return self

    def with_unknown_names(self) -> DebugInfo:
        """The same without names of arguments and results."""
        return self._replace(arg_names=None, result_paths=None)


def _or_empty(names: tuple[str, ...] | None, count: int) -> tuple[str, ...]:
    return names if names is not None and len(names) == count else ("",) * count


def _chosen(names: tuple[str, ...] | None, keep: Sequence[bool]) -> tuple[str, ...] | None:
    return None if names is None else tuple([name for name, kept in zip(names, keep) if kept])
