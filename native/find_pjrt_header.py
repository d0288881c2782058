"""Print the folder that holds pjrt_c_api.h among the installed PJRT plugins, or nothing.

Invariant: no plugin is imported, since importing one may load a large library.
"""

from __future__ import annotations

import sys
from pathlib import Path


def find() -> str:
    """Return the first `xla_plugins/*/include` folder on the path that has the header, or an empty string."""
    for entry in sys.path:
        for header in sorted(Path(entry or ".").glob("xla_plugins/*/include/pjrt_c_api.h")):
            return str(header.parent)
    return ""


if __name__ == "__main__":
    print(find())
