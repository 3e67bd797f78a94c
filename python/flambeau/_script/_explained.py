"""`python -m flambeau explain` runs this in place of a script: page, script, arguments."""

import sys

from flambeau._explain_script import run

sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
