"""The folder of compiled programs: damage, crashes, other processes, permissions, full disks, bounds."""

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from anima.config import (
    compilation_cache_dir,
    compilation_cache_max_size,
    enable_compilation_cache,
    raise_persistent_cache_errors,
)
from anima.runtime import disk_cache
from anima.runtime.disk_cache import DiskCache, entry_key

KEY = entry_key(b"program", b"options")


@pytest.fixture
def cache(tmp_path):
    return DiskCache(str(tmp_path / "cache"), 1 << 20, 1000)


def _entries(cache):
    return sorted(name for name in os.listdir(cache.folder) if name.endswith(".exec"))


def _path(cache, key=KEY):
    return os.path.join(cache.folder, key.hex() + ".exec")


def test_what_was_stored_comes_back(cache):
    assert cache.load(KEY) is None
    assert cache.store(KEY, b"code")
    assert cache.load(KEY) == b"code"
    assert cache.store(KEY, b"other code")
    assert cache.load(KEY) == b"other code"
    assert cache.store(KEY, b"")
    assert cache.load(KEY) == b""


def test_keys_keep_their_parts_apart():
    keys = {entry_key(b"ab", b"c"), entry_key(b"a", b"bc"), entry_key(b"abc"), entry_key(b"abc", b"")}
    assert len(keys) == 4


@pytest.mark.skipif(os.name != "posix", reason="mode bits")
def test_only_the_owner_may_read(cache):
    cache.store(KEY, b"code")
    assert stat.S_IMODE(os.stat(cache.folder).st_mode) == 0o700
    for name in os.listdir(cache.folder):
        assert stat.S_IMODE(os.stat(os.path.join(cache.folder, name)).st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="mode bits")
def test_a_folder_that_others_may_write_to_is_refused(cache):
    os.mkdir(cache.folder)
    os.chmod(cache.folder, 0o777)
    with pytest.raises(PermissionError, match="chmod 700"):
        cache.store(KEY, b"code")
    with pytest.raises(PermissionError):
        cache.load(KEY)
    assert os.listdir(cache.folder) == []
    os.chmod(cache.folder, 0o755)
    assert cache.store(KEY, b"code")


@pytest.mark.skipif(os.name != "posix", reason="owners")
def test_a_folder_of_another_user_is_refused(cache, monkeypatch):
    cache.store(KEY, b"code")
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(cache.folder).st_uid + 1)
    with pytest.raises(PermissionError):
        DiskCache(cache.folder, 1 << 20, 1000).load(KEY)
    with pytest.raises(PermissionError):
        cache.load(KEY)  # the entry is another user's as well


@pytest.mark.skipif(os.name != "posix", reason="mode bits")
def test_an_entry_that_others_may_write_is_not_loaded(cache):
    cache.store(KEY, b"code")
    os.chmod(_path(cache), 0o622)
    with pytest.raises(PermissionError):
        cache.load(KEY)
    assert cache.store(KEY, b"code") and cache.load(KEY) == b"code"


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_links_are_not_followed(cache, tmp_path):
    cache.store(KEY, b"code")
    os.rename(_path(cache), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", _path(cache))
    with pytest.raises(OSError):
        cache.load(KEY)


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip payload", "flip header", "longer", "renamed"])
def test_damaged_entries_are_removed_and_made_again(cache, damage):
    cache.store(KEY, b"machine code" * 10)
    path = _path(cache)
    with open(path, "rb") as file:
        content = bytearray(file.read())
    key = KEY
    if damage == "truncate":
        content = content[:-7]
    elif damage == "empty":
        content = bytearray()
    elif damage == "flip payload":
        content[-3] ^= 1
    elif damage == "flip header":
        content[3] ^= 1
    elif damage == "longer":
        content += b"x"
    else:
        key = entry_key(b"another program")
        path = _path(cache, key)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o600)
    assert cache.load(key) is None
    assert not os.path.exists(path)
    assert cache.store(key, b"new") and cache.load(key) == b"new"


def test_the_bound_on_files_holds_and_the_oldest_go(tmp_path):
    cache = DiskCache(str(tmp_path), 1 << 30, 32)
    keys = [entry_key(bytes([i])) for i in range(100)]
    cache.store(keys[0], b"first")
    for age, key in enumerate(keys[1:], start=1):
        cache.store(key, b"x")
        os.utime(_path(cache, key), (1_000_000 + age, 1_000_000 + age))
        assert cache.load(keys[0]) == b"first"  # which renews it
        assert len(_entries(cache)) <= 32
    assert cache.load(keys[-1]) == b"x"
    assert cache.load(keys[1]) is None


def test_the_bound_on_bytes_holds(tmp_path):
    cache = DiskCache(str(tmp_path), 1 << 20, -1)
    for i in range(300):
        cache.store(entry_key(bytes([i % 256, i // 256])), bytes(20_000))
        if i % 10 == 0:
            used = sum(os.path.getsize(_path(cache, bytes.fromhex(name[:-5]))) for name in _entries(cache))
            assert used <= 1 << 20
    assert len(_entries(cache)) > 30
    assert not cache.store(KEY, bytes(2 << 20))
    assert cache.load(KEY) is None


def test_the_folder_is_rarely_listed(tmp_path, monkeypatch):
    listings = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listings.append(path) or scandir(path))
    cache = DiskCache(str(tmp_path), 1 << 30, 8192)
    for i in range(600):
        cache.store(entry_key(i.to_bytes(2, "little")), b"x" * 100)
    assert len(listings) == 1


def test_no_bound(tmp_path):
    cache = DiskCache(str(tmp_path), -1, -1)
    for i in range(50):
        cache.store(entry_key(bytes([i])), bytes(100_000))
    cache.evict()
    assert len(_entries(cache)) == 50


def test_a_full_disk_leaves_nothing_behind(cache, monkeypatch):
    cache.store(KEY, b"old")
    write = os.write

    def full(file, data):
        if len(data) > 10:
            write(file, data[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        cache.store(KEY, b"new" * 100)
    monkeypatch.undo()
    assert _entries(cache) == [KEY.hex() + ".exec"]
    assert not [name for name in os.listdir(cache.folder) if name.endswith(".tmp")]
    assert cache.load(KEY) == b"old"


_KILLED = """
import os, signal, sys
from anima.runtime.disk_cache import DiskCache, entry_key
cache = DiskCache(sys.argv[1], 1 << 20, 1000)
write = os.write
def die(file, data):
    write(file, bytes(data)[:20])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = die
cache.store(entry_key(b"program", b"options"), b"new" * 100)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("existing", [b"old", None])
def test_a_writer_that_is_killed(cache, run_python, existing):
    if existing is not None:
        cache.store(KEY, existing)
    run_python(_KILLED, cache.folder, expect=-signal.SIGKILL)
    assert cache.load(KEY) == existing
    (abandoned,) = [name for name in os.listdir(cache.folder) if name.endswith(".tmp")]
    cache.evict()
    assert abandoned in os.listdir(cache.folder)  # its writer might still be at it
    os.utime(os.path.join(cache.folder, abandoned), (1, 1))
    cache.evict()
    assert abandoned not in os.listdir(cache.folder)
    assert cache.store(KEY, b"new") and cache.load(KEY) == b"new"


_SHARED = """
import sys
from anima.runtime.disk_cache import DiskCache, entry_key
cache = DiskCache(sys.argv[1], 1 << 20, 64)
mine = sys.argv[2].encode()
for i in range(300):
    key = entry_key(bytes([i % 90]))
    cache.store(key, mine * (1000 + i))
    found = cache.load(entry_key(bytes([(i * 7) % 90])))
    assert found is None or set(found) in ({ord("a")}, {ord("b")}, {ord("c")}), found[:20]
"""


def test_processes_that_write_the_same_entries(cache):
    workers = [
        subprocess.Popen([sys.executable, "-c", _SHARED, cache.folder, mine], stderr=subprocess.PIPE)
        for mine in "abc"
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors.decode()
    assert 0 < len(_entries(cache)) <= 64
    assert not [name for name in os.listdir(cache.folder) if name.endswith(".tmp")]


def test_where_the_folder_is(tmp_path, monkeypatch):
    monkeypatch.delenv("ANIMA_CACHE_DIR", raising=False)
    with compilation_cache_dir(None):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert disk_cache.current().folder == str(tmp_path / "anima")
        monkeypatch.setenv("ANIMA_CACHE_DIR", str(tmp_path / "mine"))
        assert disk_cache.current().folder == str(tmp_path / "mine")
    with compilation_cache_dir(str(tmp_path / "option")):
        assert disk_cache.current().folder == str(tmp_path / "option")
        with enable_compilation_cache(False):
            assert disk_cache.current() is None
        with compilation_cache_max_size(0):
            assert disk_cache.current() is None


def test_errors_are_kept_quiet_unless_asked_for():
    disk_cache.failed("writing", OSError("full"))
    with raise_persistent_cache_errors(True), pytest.raises(OSError, match="full"):
        disk_cache.failed("writing", OSError("full"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_has_no_cache(run_python):
    code = """
import os
from anima.runtime import disk_cache
assert disk_cache.current() is not None
child = os.fork()
if child == 0:
    os._exit(0 if disk_cache.current() is None else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    run_python(code)
