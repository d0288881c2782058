"""What a report of an error should say about the machine."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np

from anima.runtime.devices import default_backend, devices, local_devices, process_count


def print_environment_info(return_string: bool = False) -> str | None:
    """Print the versions and devices in use, for reports of errors.

    Args:
      return_string: return the text instead.

    >>> import anima
    >>> anima.print_environment_info(return_string=True).splitlines()[0].partition(" ")[0]
    'anima:'
    """
    plugin = devices()[0].client.plugin
    kinds = ", ".join(sorted({device.device_kind for device in devices()}))
    named = {
        "anima": sys.modules[__name__.partition(".")[0]].__version__,
        "numpy": np.__version__,
        "python": sys.version.replace("\n", " "),
        "plugin": f"{default_backend()}, PJRT {'.'.join(map(str, plugin.api_version))}, {os.path.basename(plugin.path)}",
        "devices": f"{kinds}, {len(local_devices())} of {len(devices())} here",
        "process_count": str(process_count()),
        "platform": str(platform.uname()),
    }
    width = max(map(len, named)) + 1
    text = "\n".join(f"{name + ':':<{width}} {value}" for name, value in named.items())
    if return_string:
        return text
    print(text)
    return None
