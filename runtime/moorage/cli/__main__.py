"""``python -m moorage.cli``: the command without an installed script."""

import sys

from moorage.cli import main

if __name__ == "__main__":
    sys.exit(main())
