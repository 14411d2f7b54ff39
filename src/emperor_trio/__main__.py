"""``python -m emperor_trio`` is the command ``emperor-trio``."""

from __future__ import annotations

import sys

from emperor_trio.cli.main import main

sys.exit(main())
