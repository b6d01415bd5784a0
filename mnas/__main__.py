"""`python -m mnas` is `mnas`."""

import sys

from mnas.cli import main

if __name__ == "__main__":
    sys.exit(main())
