"""Pure: whether a list of zip entries looks like a packaged Windows build with Pixel Streaming.

Known causes of rejection (https://docs.streampixel.io, build lifecycle): corrupt archive, missing executable, malformed package,
unsupported files, a source project in place of a package. How the folders must lie exactly is not documented.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spcli.check.finding import Finding, amount, error, info, name, plural, warning

if TYPE_CHECKING:
    from zipfile import ZipInfo

DEEPEST = 2
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = (0, 8)
_LINK = 0o12
_SYMBOLS = (".pdb", ".debug", ".sym")
_PACKED = (".pak", ".ucas", ".utoc")
_SYMBOLS_HEAVY = 100_000_000
_PACKAGE = "package it in Unreal (Platforms > Windows > Package Project), and zip the Windows folder that this makes"


class _Listing(NamedTuple):
    """The entries; their paths with slashes; the same in lower case behind a slash, so that `/saved/` is found at the top."""

    entries: "Sequence[ZipInfo]"
    paths: Sequence[str]
    lower: Sequence[str]

    def holding(self, part: str) -> list[str]:
        return [path for path, lower in zip(self.paths, self.lower, strict=True) if part in lower]


def content_findings(entries: "Sequence[ZipInfo]") -> list[Finding]:
    """What the entries tell, errors first."""
    paths = [entry.orig_filename.replace("\\", "/") for entry in entries]
    listing = _Listing(entries, paths, [f"/{path.lower()}" for path in paths])
    found = [*_hostile(listing), *_executable(listing), *_project(listing), *_linux(listing), *_plugin(listing)]
    found += [*_symbols(listing), *_format(listing)]
    return sorted(found, key=lambda finding: ("error", "warning", "info").index(finding.level))


def _hostile(listing: _Listing) -> list[Finding]:
    found = []
    encrypted = [entry.orig_filename for entry in listing.entries if entry.flag_bits & _ENCRYPTED]
    if encrypted:
        text = f"the zip is encrypted ({_and_more(encrypted)})"
        found.append(error("encrypted", text, "make the zip without a password"))
    unsafe = [path for path in listing.paths if is_unsafe(path)]
    if unsafe:
        text = f"the zip has absolute paths, or paths that lead out of it ({_and_more(unsafe)})"
        found.append(error("unsafe-path", text, "zip the folder from within, with relative paths"))
    return found


def is_unsafe(path: str) -> bool:
    """Whether unpacking this path would write outside the target folder, or nowhere."""
    if not path or path[0] == "/" or path[1:2] == ":" or "\0" in path:
        return True
    return ".." in path and ".." in path.split("/")


def _executable(listing: _Listing) -> list[Finding]:
    executables = [path for path, lower in zip(listing.paths, listing.lower, strict=True) if lower.endswith(".exe")]
    shallow = [path for path in executables if path.count("/") <= DEEPEST]
    if not shallow:
        return [_no_executable(listing, executables)]
    found = [info("executable", f"the executable: {_and_more(shallow)}")]
    if not _folders_of_builds(listing.lower).intersection(_folder(f"/{path.lower()}") for path in shallow):
        text = f"beside {name(shallow[0])} there is neither Engine/ nor packaged content (Game/Content/Paks/*.pak)"
        found.append(warning("no-engine", text, "zip the whole Windows folder that packaging makes"))
    if len(shallow) > 1:
        text = f"{len(shallow):,} executables: Streampixel may ask which one to run"
        found.append(info("several-executables", text, "choose it in the dashboard"))
    return found


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _folders_of_builds(lower: Sequence[str]) -> set[str]:
    """The folders that hold an Engine folder, or a game's folder with packaged content."""
    folders = {path[: path.find("/engine/") + 1] for path in lower if "/engine/" in path}
    for path in lower:
        if path.endswith(_PACKED) and "/content/" in path:
            folders.add(_folder(path[: path.find("/content/")]))
    return folders


def _no_executable(listing: _Listing, deeper: Sequence[str]) -> Finding:
    projects = [path for path, lower in zip(listing.paths, listing.lower, strict=True) if lower.endswith(".uproject")]
    if projects:
        text = f"that is a source project, not a packaged build ({_and_more(projects)}, and no .exe at depth {DEEPEST} or less)"
        return error("source-project", text, _PACKAGE)
    text = f"there is no .exe in the zip at depth {DEEPEST} or less"
    if deeper:
        nearest = min(deeper, key=lambda path: path.count("/"))
        is_inner = "/binaries/" in f"/{nearest.lower()}"
        hint = f"zip the Windows folder itself, {'with all that it holds' if is_inner else 'not one around it'}"
        # How the folders must lie is not documented.
        return error("no-exe", f"{text}; the nearest is {name(nearest)}", hint, certain=False)
    return error("no-exe", text, _PACKAGE)


def _project(listing: _Listing) -> list[Finding]:
    found = []
    projects = [path for path, lower in zip(listing.paths, listing.lower, strict=True) if lower.endswith(".uproject")]
    if projects and any(path.endswith(".exe") and path.count("/") <= DEEPEST + 1 for path in listing.lower):
        found.append(warning("uproject", f"the zip holds a project file ({_and_more(projects)}): a source project?", _PACKAGE))
    for folder in ("Saved", "Intermediate"):
        inside = listing.holding(f"/{folder.lower()}/")
        if inside:
            text = f"the zip holds a {folder} folder ({_and_more(inside)}): a source project?"
            found.append(warning(folder.lower(), text, "packaged builds need none: leave it out"))
    return found


def _linux(listing: _Listing) -> list[Finding]:
    # Windows builds hold third-party folders called Linux; only these two places tell.
    linux = [
        path
        for path, lower in zip(listing.paths, listing.lower, strict=True)
        if "/binaries/linux" in lower or lower.startswith(("/linux/", "/linuxnoeditor/"))
    ]
    if not linux:
        return []
    hint = "Streampixel runs Windows builds: package for Windows"
    return [warning("linux", f"the zip looks like a Linux build ({_and_more(linux)})", hint)]


def _plugin(listing: _Listing) -> list[Finding]:
    first = any("/pixelstreaming/" in path or "/pixelstreaming." in path for path in listing.lower)
    second = any("/pixelstreaming2/" in path or "/pixelstreaming2." in path for path in listing.lower)
    if first and second:
        hint = "switch one of them off in the project; the original is the recommended one"
        return [warning("plugin", "both Pixel Streaming and Pixel Streaming 2 are in the zip", hint)]
    if second:
        return [info("plugin", "the plugin is Pixel Streaming 2", "the original is the recommended one")]
    if first:
        return [info("plugin", "the plugin is Pixel Streaming")]
    return [
        info("plugin", "no Pixel Streaming plugin among the file names: it may be inside a .pak", "see that it is switched on")
    ]


def _symbols(listing: _Listing) -> list[Finding]:
    sizes = [entry.compress_size for entry, path in zip(listing.entries, listing.lower, strict=True) if path.endswith(_SYMBOLS)]
    if not sizes:
        return []
    weight, total = sum(sizes), sum(entry.compress_size for entry in listing.entries)
    text = f"{plural(len(sizes), 'file')} with debug symbols, {amount(weight)} of {amount(total)}"
    hint = "leave .pdb files out: viewers never need them"
    is_heavy = weight > _SYMBOLS_HEAVY or weight * 20 > total
    return [warning("symbols", text, hint) if is_heavy else info("symbols", text, hint)]


def _format(listing: _Listing) -> list[Finding]:
    found = []
    odd = [entry.orig_filename for entry in listing.entries if entry.compress_type not in _METHODS]
    if odd:
        text = f"compressed with more than plain deflate ({_and_more(odd)}): not every unpacker can read it"
        found.append(warning("compression", text, "use 7-Zip with -mm=Deflate; the Windows Explorer takes Deflate64 over 2 GB"))
    slashes = [entry.orig_filename for entry in listing.entries if "\\" in entry.orig_filename]
    if slashes:
        text = f"paths with backslashes ({_and_more(slashes)}): outside Windows they unpack into one folder"
        found.append(warning("backslashes", text, "make the zip with 7-Zip or PowerShell 7"))
    links = [entry.orig_filename for entry in listing.entries if entry.external_attr >> 28 == _LINK]
    if links:
        found.append(warning("links", f"symbolic links ({_and_more(links)})", "zip the files they point to"))
    return found


def _and_more(paths: Sequence[str]) -> str:
    return name(paths[0]) if len(paths) == 1 else f"{name(paths[0])} and {len(paths) - 1:,} more"
