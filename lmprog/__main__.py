"""`python -m lmprog` is the command `lmprog`."""

import sys

from lmprog.cli import main

sys.exit(main())
