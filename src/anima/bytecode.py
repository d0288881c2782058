"""The bytecode of the package's modules in one file, from which they are imported.

Invariant: a module is what Python would have made of its source without this. The file beside Python's own (in `__pycache__`,
where the interpreter keeps bytecode at all) is a copy of theirs, a module is taken from it only while its source has the size
and time that it had then, and whatever is missing, stale or damaged is imported as ever. A process that imported modules
which the file lacks writes it anew when it ends.

Python looks into folders and opens a file for each of two hundred modules: a tenth of what a small program waits for.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import marshal
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType

__all__ = ["Together", "imported_from_one_file"]

# What a file starts with; the bytecode's own version follows, then the length of the index, the index, and the bytecode.
_MAGIC = b"bytecode of a package, 1\n"
_HEADER = len(_MAGIC) + len(importlib.util.MAGIC_NUMBER) + 8

# Source, where Python keeps its bytecode, whether it is a package; time and size of the source; offset, length of the bytecode.
_Entry = tuple[str, str, bool, int, int, int, int]
_Index = dict[str, _Entry]


class Together:
    """The modules of a package that are imported from one file: a finder of `sys.meta_path`.

    Args:
      package: its name.
      folder: where it is.

    The file stays open in a `with` block.
    """

    def __init__(self, package: str, folder: str) -> None:
        pyc = importlib.util.cache_from_source(os.path.join(folder, "__init__.py"))
        self.path = f"{pyc.removesuffix('.pyc')}.together"
        self._folder = folder
        self._inside = f"{package}."
        self._imported_before = frozenset(sys.modules)
        self._index: _Index = {}
        self._start = 0
        self._stamp: tuple[int, ...] = ()
        self._file: int | None = None

    def __enter__(self) -> Together:
        try:
            self._file = os.open(self.path, os.O_RDONLY)
            self._stamp = _stamp(os.fstat(self._file))
            self._index, self._start = _read_index(self._file, self._folder)
        except (OSError, EOFError, ValueError, TypeError):
            self._index = {}
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """What `importlib` asks for: how a module is loaded, or None where it is to look elsewhere."""
        entry = self._index.get(name)
        if entry is None or _stamp_of_source(entry[0]) != entry[3:5]:
            return None
        source, pyc, is_package, *_ = entry
        spec = ModuleSpec(name, _Loader(self, name, source), origin=source, is_package=is_package)
        spec.has_location = True
        spec.cached = pyc
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec

    def code(self, name: str) -> CodeType | None:
        """The bytecode of a module; None if the file is not any more what it was."""
        source, *_, offset, length = self._index[name]
        try:
            code = marshal.loads(self._read(self._start + offset, length))
        except (OSError, EOFError, ValueError, TypeError):
            code = None
        if isinstance(code, CodeType) and code.co_filename == source:
            return code
        self._index = {}  # replaced, or of a package that was moved: Python's own files are as good
        return None

    def _read(self, offset: int, length: int) -> bytes:
        if self._file is not None:
            return os.pread(self._file, length, offset)
        file = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(file, length, offset) if _stamp(os.fstat(file)) == self._stamp else b""
        finally:
            os.close(file)

    def keep(self) -> None:
        """Write the file anew if modules were imported that it lacks, and Python may write bytecode."""
        if sys.dont_write_bytecode:
            return
        lacking = {name: found for name, found in self._imported().items() if not self._has(name)}
        known = {name: (entry[0], entry[2]) for name, entry in self._index.items()}
        index: _Index = {}
        parts: list[bytes] = []
        offset = 0
        for name, (source, is_package) in sorted({**known, **lacking}.items()):
            pyc = importlib.util.cache_from_source(source)
            found = _bytecode(source, pyc)
            if found is None:
                lacking.pop(name, None)
                continue
            content, stamp = found
            index[name] = (source, pyc, is_package, *stamp, offset, len(content))
            parts.append(content)
            offset += len(content)
        if lacking:
            _write(self.path, (self._folder, index), parts)

    def _imported(self) -> dict[str, tuple[str, bool]]:
        """The source of each module of the package that was imported with this, and whether it is a package."""
        found = {}
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            if not name.startswith(self._inside) or name in self._imported_before or spec is None:
                continue
            if isinstance(spec.loader, SourceFileLoader) and spec.origin and spec.name == name:
                found[name] = (spec.origin, spec.submodule_search_locations is not None)
        return found

    def _has(self, name: str) -> bool:
        entry = self._index.get(name)
        return entry is not None and _stamp_of_source(entry[0]) == entry[3:5]


class _Loader(SourceFileLoader):
    """Loads a module as Python does, but for where its bytecode comes from."""

    def __init__(self, together: Together, name: str, path: str) -> None:
        super().__init__(name, path)
        self._together = together

    def get_code(self, fullname: str) -> CodeType | None:
        return self._together.code(fullname) or super().get_code(fullname)


def imported_from_one_file(package: str, folder: str) -> contextlib.AbstractContextManager[object]:
    """Block in which most of a package is imported: from one file, where that is there; otherwise it is written later.

    What is imported after the block comes from there as well.

    Args:
      package: its name.
      folder: where it is.
    """
    if PathFinder not in sys.meta_path:  # a program that brings its modules along has ways of its own
        return contextlib.nullcontext()
    together = Together(package, folder)
    # After what others have put before Python's own finder, to see or to change what is imported.
    sys.meta_path.insert(sys.meta_path.index(PathFinder), together)
    atexit.register(together.keep)
    return together


# The file.


def _read_index(file: int, folder: str) -> tuple[_Index, int]:
    """The index of a package's file, and where its bytecode starts; raises for what is no such file."""
    header = os.pread(file, _HEADER, 0)
    length = int.from_bytes(header[-8:], "little")
    if not header.startswith(_MAGIC + importlib.util.MAGIC_NUMBER) or length > os.fstat(file).st_size:
        raise ValueError
    of, index = marshal.loads(os.pread(file, length, _HEADER))
    if of != folder:  # a copy of another package's file, whose sources may well be there
        raise ValueError
    return index, _HEADER + length


def _write(path: str, index: tuple[str, _Index], parts: list[bytes]) -> None:
    """Write a file, all of it or nothing; a folder that cannot be written to has none."""
    encoded = marshal.dumps(index)
    header = b"".join((_MAGIC, importlib.util.MAGIC_NUMBER, len(encoded).to_bytes(8, "little")))
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "xb") as file:
            file.write(b"".join((header, encoded, *parts)))
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _bytecode(source: str, pyc: str) -> tuple[bytes, tuple[int, int]] | None:
    """What Python keeps of a source file, and the time and the size of this; None if it keeps nothing that is still true."""
    stamp = _stamp_of_source(source)
    if stamp is None:
        return None
    try:
        with open(pyc, "rb") as file:
            content = file.read()
    except OSError:
        return None
    expected = (0, stamp[0] // 10**9 & 0xFFFFFFFF, stamp[1] & 0xFFFFFFFF)
    header = b"".join((importlib.util.MAGIC_NUMBER, *(part.to_bytes(4, "little") for part in expected)))
    # Bytecode says where its source was when it was made; `code` wants that to be here.
    sound = content.startswith(header) and source.encode("utf-8", "surrogatepass") in content
    return (content[len(header) :], stamp) if sound else None


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _stamp_of_source(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
