"""httpcore, the engine of httpx, imported without what it imports and we never use.

httpx itself would add cookies, redirects, a log of every URL, and a fifth of a command's time.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

__all__ = ["httpcore"]


@contextmanager
def _instead(**others: ModuleType | None) -> Iterator[None]:
    """While importing, have other modules in place of those not imported yet; `None` for one that can't be found."""
    placed = {name: other for name, other in others.items() if name not in sys.modules}
    sys.modules.update(placed)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


def _certifi() -> ModuleType:
    """certifi as httpcore uses it, imported when it is called: for a TLS context of its own, which `trust` makes for it here."""
    stand_in = ModuleType("certifi")
    setattr(stand_in, "where", lambda: importlib.import_module("certifi").where())  # noqa: B010
    return stand_in


# Nothing here is asynchronous; httpcore copes with a missing anyio.
with _instead(anyio=None, certifi=_certifi()):
    import httpcore
