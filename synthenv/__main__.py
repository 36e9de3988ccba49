"""``python -m synthenv`` is the ``synthenv`` command."""

import sys

from synthenv.cli import main

if __name__ == "__main__":
    sys.exit(main())
