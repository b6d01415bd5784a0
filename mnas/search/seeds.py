"""Seeds from names, so that a result does not depend on who computed it or when."""

import hashlib
import json


def derive_seed(*parts: str | int) -> int:
    """A 31-bit seed that depends on nothing but its parts.

    Args:
        parts: What the seed is for, such as the experiment's seed, an id and a replicate.

    Returns:
        An integer in [0, 2**31), the same on every machine.
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
