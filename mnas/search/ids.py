"""A set of architecture ids that costs bytes: a search remembers every network it ever met."""

from array import array
from bisect import bisect_left

# So many of the latest ids wait in a set of Python's until they are sorted in.
_MOST_UNSORTED = 4096


class Ids:
    """Architecture ids, 8 bytes each; exact, since an id is 48 bits."""

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._latest: set[int] = set()

    def add(self, architecture_id: str) -> None:
        """Take in an id; again is the same as once."""
        number = int(architecture_id, 16)
        if self._holds(number):
            return
        self._latest.add(number)
        if len(self._latest) >= _MOST_UNSORTED:
            self._sorted = array("Q", sorted([*self._sorted, *self._latest]))
            self._latest.clear()

    def __contains__(self, architecture_id: object) -> bool:
        return isinstance(architecture_id, str) and self._holds(int(architecture_id, 16))

    def __len__(self) -> int:
        return len(self._sorted) + len(self._latest)

    def _holds(self, number: int) -> bool:
        if number in self._latest:
            return True
        at = bisect_left(self._sorted, number)
        return at < len(self._sorted) and self._sorted[at] == number
