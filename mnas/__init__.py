"""mnas: hardware-aware neural architecture search for the MobileNet family."""
