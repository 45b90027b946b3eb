"""``python -m tests.performance.training_any_width``."""

import sys

from tests.performance.training_any_width.command import main

if __name__ == "__main__":
    sys.exit(main())
