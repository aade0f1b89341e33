"""Work for other processes, which import it by name."""

import time
from pathlib import Path

from threadpoolctl import threadpool_info


def touched(file: Path) -> str:
    file.touch()
    return file.name


def slowly(number: int) -> int:
    time.sleep(0.2)
    return number


def threads(_: int) -> list[int]:
    return [library["num_threads"] for library in threadpool_info()]
