"""``python -m acceptfirst_cli`` is ``acceptfirst``."""

import sys

from acceptfirst_cli.entry import main

sys.exit(main())
