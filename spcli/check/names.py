"""Pure: file names in a zip: their text, their path in one form for every rule, and whether Windows can create them."""

import re

_TEXT_LIMIT = 4096
"""Characters of a path that the rules look at; Windows allows 32,767, and no tool writes that many."""
PATH_LIMIT, NAME_LIMIT = 259, 255
"""Characters of a path and of a name that Windows can create everywhere."""
# Encodings in which the second byte of a letter can be a backslash.
_DOUBLE_BYTE = ("cp932", "gbk", "big5")
_HIGH_BACKSLASH = re.compile(rb"[\x81-\xfe]\\")
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
_SPLIT = re.compile(r"\.(?:(?:zip|7z|rar)\.[0-9]{2,4}|z[0-9]{2,3}|[0-9]{3}|part[0-9]{1,4}\.rar|r[0-9]{2})$")
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³"]
)


def decode_name(raw: bytes, *, is_utf8: bool) -> tuple[str, bool]:
    """Return a name's text and whether it is in the encoding that the zip declares.

    Without the UTF-8 flag the format means code page 437, but tools write UTF-8 or the system's own code page. A name in a
    double-byte code page is decoded as such, so that the second byte of a letter is not taken for a separator.
    """
    if raw.isascii():
        return raw.decode("ascii"), True
    try:
        return raw.decode("utf-8"), True
    except UnicodeDecodeError:
        pass
    if _HIGH_BACKSLASH.search(raw):
        texts = [text for text in (_decode_or_none(raw, encoding) for encoding in _DOUBLE_BYTE) if text is not None]
        if texts:
            # The right encoding leaves no byte of a letter over as a backslash.
            return min(texts, key=lambda text: text.count("\\")), not is_utf8
    return raw.decode("cp437"), not is_utf8


def _decode_or_none(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def normal_path(name: str) -> str:
    """Return a name with slashes, without `.` and empty parts; a folder's path ends in a slash.

    Windows' own tar writes `./Windows/Game.exe`, other tools `Build//Windows/`: all mean the same place.
    """
    path = name[:_TEXT_LIMIT].replace("\\", "/")
    if "//" in path or "./" in path or path[:1] == "/" or path.endswith("/."):
        parts = [part for part in path.split("/") if part not in ("", ".")]
        is_folder = path.endswith(("/", "/."))
        path = "/".join(parts) + ("/" if is_folder and parts else "")
    return path


def is_unsafe(name: str) -> bool:
    """Return whether unpacking this name would write outside the target folder, or nowhere."""
    path = name.replace("\\", "/")
    if not path or path[0] == "/" or "\0" in path or (path[1:2] == ":" and path[0].isalpha()):
        return True
    return ".." in path and ".." in path.split("/")


def split_part(name: str) -> str | None:
    """Return the ending of a file name that belongs to one part of a split archive, such as `.zip.001`, or None."""
    match = _SPLIT.search(name[-20:].lower())
    return None if match is None else match[0]


def windows_problem(name: str) -> str | None:
    """Return why Windows cannot create a file or folder of this name, in words, or None."""
    if name[-1:] in (".", " "):
        return "ends in a dot or a space"
    match = _FORBIDDEN.search(name)
    if match is not None:
        return f"contains {match[0]}" if match[0].isprintable() else "contains a control character"
    if name.partition(".")[0].rstrip(" ").lower() in _RESERVED:
        return "is a reserved name"
    return f"has more than {NAME_LIMIT} characters" if len(name) > NAME_LIMIT else None
