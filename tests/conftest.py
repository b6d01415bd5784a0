from hypothesis import settings

# Other work on the machine must not fail a test: no deadline for a single example.
settings.register_profile("mnas", deadline=None)
settings.load_profile("mnas")
