"""Executables kept on disk between processes.

Invariant: what ``load`` returns is, byte for byte, what ``store`` was given under the same key by this user,
or nothing. Entries are machine code, so folders that another user owns or may write to are not used, files
are owner-only, and the checksum covers the key, so that a renamed entry does not pass for another. A cache
that cannot work (no folder, no rights, a full disk, a forked child) is no cache, never an error, unless
``jax_raise_persistent_cache_errors`` asks for one.

An entry is written under a temporary name and renamed, which is atomic: a reader sees all of it or none,
whatever happens to the writer. Nothing is locked.

The bound. Listing 8192 files costs 20 ms, so it is not done at each write. Each write appends a few bytes to
the file ``journal``, in proportion to the share of the bound that it takes; the length of that file says, to
every process, when a sixteenth of the bound has been written since the last listing. Then the oldest entries
(by their time stamp, which a use renews) go until an eighth of the bound is free.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time

from anima.config import (
    compilation_cache_dir,
    compilation_cache_max_files,
    compilation_cache_max_size,
    enable_compilation_cache,
    raise_persistent_cache_errors,
)
from anima.records import NamedTuple
from anima.runtime import logs

try:
    from _blake2 import blake2b  # hashlib's own, which imports OpenSSL beside it: 3 ms
except ImportError:
    from hashlib import blake2b

__all__ = ["DiskCache", "current", "entry_key"]

_MAGIC = b"anima-executable"
_VERSION = 1  # of the layout of an entry; part of the key as well
_HEADER = len(_MAGIC) + 2 + 8 + 32
_SUFFIX = ".exec"
_JOURNAL = "journal"
_JOURNAL_LENGTH = 1024  # bytes that stand for a sixteenth of the bound
_ABANDONED = 3600.0  # seconds after which a temporary file is what a killed process left


class _Entry(NamedTuple):
    used: float
    size: int
    path: str


class DiskCache:
    """One cache folder.

    Args:
      folder: made on first use, with its parents, for the owner only.
      max_bytes, max_files: the bound; negative is none.

    Raises (from ``load`` and ``store``): OSError; see ``current`` for who handles it.
    """

    __slots__ = ("_checked", "folder", "max_bytes", "max_files")

    def __init__(self, folder: str, max_bytes: int, max_files: int) -> None:
        self.folder, self.max_bytes, self.max_files = folder, max_bytes, max_files
        self._checked = False

    def load(self, key: bytes) -> bytes | None:
        """What is stored under ``key``, or None. A damaged entry is removed."""
        path = self._path(key)
        try:
            self._check_folder()
            file = os.open(path, os.O_RDONLY | _NO_FOLLOW)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or _others_may_write(status):
                raise PermissionError(f"{path} can be written by others")
            content = _read_all(file, status.st_size)
            payload = content[_HEADER:] if content[:_HEADER] == _header(key, content[_HEADER:]) else None
            if payload is not None:
                os.utime(file if os.utime in os.supports_fd else path)
        finally:
            os.close(file)
        if payload is None:
            logs.debug("compilation cache: %s is damaged and is made again", path)
            _unlink(path)
        return payload

    def has(self, key: bytes) -> bool:
        """Whether something is stored under ``key``, sound or not."""
        return os.path.exists(self._path(key))

    def store(self, key: bytes, payload: bytes) -> bool:
        """Keeps ``payload`` under ``key``; False if it is larger than the whole cache may be."""
        size = _HEADER + len(payload)
        if 0 <= self.max_bytes < size or self.max_files == 0:
            return False
        self._check_folder()
        path = self._path(key)
        temporary = f"{path}.{os.getpid()}-{time.monotonic_ns():x}.tmp"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
        try:
            try:
                _write_all(file, _header(key, payload))
                _write_all(file, payload)
            finally:
                os.close(file)
            os.replace(temporary, path)
        except BaseException:
            _unlink(temporary)
            raise
        if self._count(size):
            self.evict()
        return True

    def evict(self) -> None:
        """Removes the entries used longest ago until an eighth of the bound is free, and abandoned files."""
        # First, so that processes which write meanwhile count for the next time.
        _unlink(os.path.join(self.folder, _JOURNAL))
        entries: list[_Entry] = []
        now = time.time()
        with os.scandir(self.folder) as listing:
            for item in listing:
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if item.name.endswith(_SUFFIX):
                    entries.append(_Entry(status.st_mtime, status.st_size, item.path))
                elif item.name.endswith(".tmp") and now - status.st_mtime > _ABANDONED:
                    _unlink(item.path)
        entries.sort(reverse=True)
        size = sum(entry.size for entry in entries)
        while entries and (_over(size, self.max_bytes) or _over(len(entries), self.max_files)):
            oldest = entries.pop()
            _unlink(oldest.path)
            size -= oldest.size

    def _count(self, size: int) -> bool:
        """Notes a write of ``size`` bytes in the journal; whether it is time to evict."""
        unit = 16 * _JOURNAL_LENGTH
        shares = [1]
        if self.max_bytes > 0:
            shares.append(-(-size * unit // self.max_bytes))
        if self.max_files > 0:
            shares.append(-(-unit // self.max_files))
        path = os.path.join(self.folder, _JOURNAL)
        journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_FOLLOW, 0o600)
        try:
            os.write(journal, b"." * min(max(shares), _JOURNAL_LENGTH))
            return os.fstat(journal).st_size >= _JOURNAL_LENGTH
        finally:
            os.close(journal)

    def _path(self, key: bytes) -> str:
        return os.path.join(self.folder, key.hex() + _SUFFIX)

    def _check_folder(self) -> None:
        if self._checked:
            return
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        status = os.stat(self.folder)
        if not stat.S_ISDIR(status.st_mode) or _others_may_write(status):
            raise PermissionError(f"{self.folder} is not this user's alone to write to: chmod 700 it")
        self._checked = True


def _over(used: int, bound: int) -> bool:
    return bound >= 0 and used > bound - bound // 8


def _others_may_write(status: os.stat_result) -> bool:
    if os.name != "posix":  # access lists, which have no mode bits; the user's own folders are private there
        return False
    return status.st_uid != os.geteuid() or bool(status.st_mode & 0o022)


_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _read_all(file: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(file, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _unlink(path: str) -> None:
    # Another process was faster, or the folder is read-only: the entry is not used either way.
    with contextlib.suppress(OSError):
        os.unlink(path)


def _header(key: bytes, payload: bytes) -> bytes:
    digest = blake2b(key, digest_size=32)
    digest.update(payload)
    return b"".join(
        (_MAGIC, _VERSION.to_bytes(2, "little"), len(payload).to_bytes(8, "little"), digest.digest())
    )


def entry_key(*parts: bytes) -> bytes:
    """The key of what depends on all of ``parts``."""
    digest = blake2b(_MAGIC + _VERSION.to_bytes(2, "little"), digest_size=32)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


_caches: dict[tuple[str, int, int], DiskCache] = {}
_first_process: int | None = None


def current() -> DiskCache | None:
    """The cache that the configuration asks for; None if it is off, or in a forked child of a process using it."""
    global _first_process
    if not enable_compilation_cache.value or compilation_cache_max_size.value == 0:
        return None
    if _first_process is None:
        _first_process = os.getpid()
    elif _first_process != os.getpid():
        return None
    wanted = (_folder(), compilation_cache_max_size.value, compilation_cache_max_files.value)
    cache = _caches.get(wanted)
    if cache is None:
        cache = _caches[wanted] = DiskCache(*wanted)
    return cache


def _folder() -> str:
    chosen = compilation_cache_dir.value or os.environ.get("ANIMA_CACHE_DIR")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "anima")


def failed(action: str, error: OSError) -> None:
    """What happens to an error of the cache: nothing but a debug message, unless the user wants to see it."""
    if raise_persistent_cache_errors.value:
        raise error
    logs.debug("compilation cache: %s failed: %s", action, error)
