"""Replacing a file by another, with patience for Windows: what looks into it there (a virus scanner, a backup) holds it."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spcli.clock import Clock

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)


def replace_patiently(source: "str | os.PathLike[str]", target: "str | os.PathLike[str]", clock: "Clock") -> None:
    """`os.replace`, tried again for under a second while Windows says that another program has the file open.

    Its errors 5, 32 and 33 are all a `PermissionError`; elsewhere that is final. Raises `OSError`.
    """
    for pause in _PAUSES if sys.platform == "win32" else ():
        try:
            return os.replace(source, target)
        except PermissionError:
            clock.sleep(pause)
    return os.replace(source, target)
