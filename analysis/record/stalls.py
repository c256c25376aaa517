# SPDX-License-Identifier: GPL-2.0-or-later
"""Stalls and wake-ups of kswapd as columns: a record may hold a million of them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from itertools import chain

import numpy as np

_STALL = ("t_ns", "guest", "line", "duration_ns", "uncompensated_pages", "batch_age_ns", "own")


class Stall(namedtuple("Stall", _STALL)):
    """What is counted of a stall or a wake-up of kswapd; only a verdict needs the rest."""

    __slots__ = ()


UNKNOWN = -1


class Stalls:
    """Stalls of one kind by time, a column for each field: a record may hold a million.

    What is unknown is UNKNOWN; in a row, made when it is asked for, it is None.
    """

    def __init__(self, columns: np.ndarray) -> None:
        self.columns = columns

    @classmethod
    def of(cls, rows: Iterable[np.ndarray]) -> Stalls:
        """From arrays of rows in the order of the record."""
        columns = np.concatenate([np.empty((0, len(Stall._fields)), dtype=np.int64), *rows]).T
        return cls(np.ascontiguousarray(columns[:, np.argsort(columns[0], kind="stable")]))

    def column(self, name: str) -> np.ndarray:
        return self.columns[Stall._fields.index(name)]

    def where(self, mask: np.ndarray) -> Stalls:
        return Stalls(self.columns[:, mask])

    @property
    def t_ns(self) -> np.ndarray:
        return self.column("t_ns")

    @property
    def end_ns(self) -> np.ndarray:
        """When each was over; that of an unknown duration as it began."""
        return self.t_ns + np.maximum(self.column("duration_ns"), 0)

    def of_guest(self, guest: int) -> Stalls:
        mine = self.where(self.column("guest") == guest)
        mine.column("guest")[:] = 0
        return mine

    def __len__(self) -> int:
        return self.columns.shape[1]

    def __getitem__(self, i: int) -> Stall:
        return Stall(*(None if v == UNKNOWN else v for v in self.columns[:, i].tolist()))


class StallRows:
    """Stalls as they are read, packed whenever there are many."""

    MANY = 1 << 14

    def __init__(self) -> None:
        self.rows: list[Stall] = []
        self.packed: list[np.ndarray] = []

    def add(self, row: Stall) -> None:
        self.rows.append(row)
        if len(self.rows) >= self.MANY:
            self.pack()

    def pack(self) -> None:
        try:
            packed = np.fromiter(chain.from_iterable(self.rows), dtype=np.int64)
        except TypeError:  # a None among them
            known = (UNKNOWN if v is None else v for row in self.rows for v in row)
            packed = np.fromiter(known, dtype=np.int64)
        self.packed.append(packed.reshape(-1, len(Stall._fields)))
        self.rows.clear()

    def stalls(self) -> Stalls:
        self.pack()
        return Stalls.of(self.packed)
