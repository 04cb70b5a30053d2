"""trackpools: from a music service's listening log to candidate pools that an LLM may choose from.

Start with `trackpools.tables` (what exists) and `trackpools.stages` (what happens).
"""

__version__ = "0.2.0"

import sys

from trackpools._compat import MovedModules

sys.meta_path.append(MovedModules())
