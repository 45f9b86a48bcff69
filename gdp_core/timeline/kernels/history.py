"""What every kernel here reads: whole histories of some people, and what each row of them counts for."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class History(NamedTuple):
    """The rows of P people: person i's are offsets[i] <= row < offsets[i + 1] of the shard's arrays, ascending in `at`.

    `counted` (P) says who counts. A row counts for match m when bit m of matches[flags[row] & 7, marks[row]] is set.
    """

    offsets: NDArray[np.int64]
    counted: NDArray[np.bool_]
    at: NDArray[np.int64]
    marks: NDArray[np.uint16]
    flags: NDArray[np.uint8]
    matches: NDArray[np.uint32]
