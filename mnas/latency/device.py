"""Which machine this is, in words that a table can carry."""

from mnas.latency.agent import describe_device

__all__ = ["describe_device"]  # one definition: a device says it of itself in the same words
