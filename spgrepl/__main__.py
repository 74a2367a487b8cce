"""``python -m spgrepl``: the command ``spgrepl``."""

import sys

from spgrepl.cli import main

sys.exit(main())
