"""What figures were measured on."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name where the system tells it."""
    table = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in table.open() if line.startswith("model name")]
        if table.exists()
        else []
    )
    return names[0] if names else platform.processor() or os.name
