"""`python -m meterkast`."""

import sys

from meterkast.cli import main

sys.exit(main())
