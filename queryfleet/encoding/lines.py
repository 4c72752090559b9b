"""Encoded lines on their way to a chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["EncodedBatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedBatch:
    """The lines of one batch."""

    data: memoryview  # all lines, each ended by a line feed; not changed by anybody later
    offsets: npt.NDArray[np.int64]  # where each line begins in `data`, from 0; the last entry is the length of `data`
