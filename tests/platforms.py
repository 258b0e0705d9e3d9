"""What the platform lacks, as marks that skip a test and give the reason."""

import sys
import tempfile
from pathlib import Path

import pytest


def _can_link() -> bool:
    """Return whether symbolic links work: Windows grants them to few users, and Wine has none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            Path(folder, "link").symlink_to(folder)
        except OSError:
            return False
        return Path(folder, "link").is_symlink()


def _is_wine() -> bool:
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.windll.ntdll, "wine_get_version")


def posix(reason: str) -> pytest.MarkDecorator:
    """Skip on Windows."""
    return pytest.mark.skipif(sys.platform == "win32", reason=f"POSIX: {reason}")


def not_wine(reason: str) -> pytest.MarkDecorator:
    """Skip under Wine, which differs from Windows here."""
    return pytest.mark.skipif(_is_wine(), reason=f"Wine: {reason}")


LINKS = pytest.mark.skipif(not _can_link(), reason="no symbolic links here")
