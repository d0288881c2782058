"""Devices that are no more than what shardings look at, so that many of them, of many processes, cost nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.sharding import Mesh


class Client:
    """The client of the process with the given index."""

    def __init__(self, process_index: int) -> None:
        self.process_index = process_index


THIS = Client(0)


class Device:
    """A device; its client is that of process 0, where the tests run."""

    def __init__(self, id: int, process_index: int = 0) -> None:
        self.id, self.process_index, self.client = id, process_index, THIS

    def __repr__(self) -> str:
        return f"Device(id={self.id})"


def grid(*shape: int, processes: int = 1) -> Any:
    """An array of devices with the ids 0, 1, ..., dealt out to processes in blocks."""
    count = int(np.prod(shape))
    made = np.empty(count, dtype=object)
    made[:] = [Device(i, i * processes // count) for i in range(count)]
    return made.reshape(shape)


def mesh(shape: tuple[int, ...], names: Any, **kwargs: Any) -> Mesh:
    """A mesh of new devices."""
    return Mesh(grid(*shape), names, **kwargs)
