"""Arrays in a folder: written whole or not at all, checked when first read, mapped into memory.

A folder is named in its own manifest only once everything in it is on disk. What is missing or damaged raises Damaged;
whoever keeps the folder makes it again.
"""

import contextlib
import errno
import fcntl
import shutil
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from mmap import mmap
from pathlib import Path
from typing import Any, SupportsIndex
from uuid import uuid4

import numpy as np
import orjson
from numpy.typing import NDArray

_MANIFEST = "manifest.json"
_BLOCK = 1 << 24


class Damaged(Exception):
    """A file is missing, of another version, or not what was written."""


def write(folder: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Make a folder of these arrays and facts (JSON) in one step; one that is there already is replaced."""
    aside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    aside.mkdir(parents=True, mode=0o700)
    try:
        files = {}
        for name, array in arrays.items():
            np.save(aside / f"{name}.npy", np.ascontiguousarray(array))
            files[name] = _checksum(aside / f"{name}.npy")
        (aside / _MANIFEST).write_bytes(orjson.dumps({"files": files, "facts": dict(facts)}))
        _replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: bytes) -> None:
    """Replace a small file in one step."""
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    aside.write_bytes(text)
    aside.replace(path)


def read(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays, mapped, and the facts. Raises Damaged."""
    try:
        manifest = orjson.loads((folder / _MANIFEST).read_bytes())
        arrays = {}
        for name, checksum in manifest["files"].items():
            path = folder / f"{name}.npy"
            state = path.stat()
            if _known_checksum(path, state.st_ino, state.st_mtime_ns, state.st_size) != checksum:
                raise Damaged(str(path))
            arrays[name] = _mapped(path)
        return arrays, manifest["facts"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(str(folder)) from error


@contextlib.contextmanager
def alone(folder: Path, *, patiently: bool = False) -> Iterator[bool]:
    """Hold a folder against other writers; False when somebody else has it, unless one waits `patiently`.

    It ends with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if patiently else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


class Mapped(np.memmap):
    """An array in a file. It travels to another process as the file's name and the range of it, not as its bytes."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Where it lies, while it is one piece of its file; else its bytes."""
        whole = self._whole()
        if whole is None or not self.flags.c_contiguous or self.ndim != 1:
            return np.array(self).__reduce_ex__(protocol)
        first = (self.ctypes.data - whole.ctypes.data) // self.itemsize
        return _range, (str(whole.filename), first, first + len(self))

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What is computed from it lies in memory."""
        found = np.asarray(array)
        return found[()] if return_scalar else found

    def __getitem__(self, index: Any) -> Any:
        """A slice lies in the file, a selection in memory."""
        found = super().__getitem__(index)
        return found if isinstance(index, slice) or not isinstance(found, np.ndarray) else np.asarray(found)

    def _whole(self) -> Any:
        """The array of the whole file that this is a view of; None when it is none."""
        found: Any = self
        while isinstance(found.base, np.memmap):
            found = found.base
        return found if isinstance(found.base, mmap) and found.filename else None


def _mapped(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found.view(Mapped) if len(found) else found


@lru_cache(maxsize=256)
def _known(path: str) -> NDArray[Any]:
    return _mapped(Path(path))


def _range(path: str, first: int, last: int) -> NDArray[Any]:
    """A range of an array in a file, as a process that was sent one finds it."""
    return _known(path)[first:last]


@lru_cache(maxsize=1024)
def _known_checksum(path: Path, _inode: int, _written: int, _size: int) -> int:
    """A file is read once by a process for its checksum, as long as it is the same file."""
    return _checksum(path)


def _checksum(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found = zlib.crc32(block, found)
    return found


def _replace(aside: Path, folder: Path) -> None:
    """Give a folder its name. One that has it already is moved away: for a moment a reader finds none."""
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        old = folder.with_name(f".{folder.name}.old.{uuid4().hex[:8]}")
        folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
