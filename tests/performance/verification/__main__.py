"""``python -m tests.performance.verification``."""

import sys

from tests.performance.verification.command import main

sys.exit(main())
