"""Pure: judge whether a list of zip entries is a packaged Windows build with Pixel Streaming.

Known causes of rejection (https://docs.streampixel.io, build lifecycle): corrupt archive, missing executable, malformed package,
unsupported files, a source project in place of a package. The exact layout of folders is not documented.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spcli.check.finding import Finding, count_of, error, format_path, format_size, info, sort_by_level, warning

if TYPE_CHECKING:
    from zipfile import ZipInfo

DEEPEST = 2
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = (0, 8)
_LINK = 0o12
_SYMBOLS = (".pdb", ".debug", ".sym")
_PACKED = (".pak", ".ucas", ".utoc")
_SYMBOLS_HEAVY = 100_000_000
_PACKAGE = "package it in Unreal (Platforms > Windows > Package Project) and zip the resulting Windows folder"


class _Listing(NamedTuple):
    """The entries; their paths with slashes; the paths in lower case after a slash, so that `/saved/` matches at the top."""

    entries: "Sequence[ZipInfo]"
    paths: Sequence[str]
    lower: Sequence[str]

    def paths_with(self, part: str) -> list[str]:
        """Return the paths that contain `part` (lower case)."""
        return [path for path, lower in zip(self.paths, self.lower, strict=True) if part in lower]


def judge_contents(entries: "Sequence[ZipInfo]") -> list[Finding]:
    """Return the findings about the entries, errors first."""
    paths = [entry.orig_filename.replace("\\", "/") for entry in entries]
    listing = _Listing(entries, paths, [f"/{path.lower()}" for path in paths])
    found = [
        *_hostile_findings(listing),
        *_executable_findings(listing),
        *_project_findings(listing),
        *_linux_findings(listing),
        *_plugin_findings(listing),
    ]
    found += [*_symbol_findings(listing), *_format_findings(listing)]
    return sort_by_level(found)


def _hostile_findings(listing: _Listing) -> list[Finding]:
    found = []
    encrypted = [entry.orig_filename for entry in listing.entries if entry.flag_bits & _ENCRYPTED]
    if encrypted:
        text = f"the zip is encrypted ({_and_more(encrypted)})"
        found.append(error("encrypted", text, "make the zip without a password"))
    unsafe = [path for path in listing.paths if is_unsafe(path)]
    if unsafe:
        text = f"the zip has absolute paths or paths that lead out of it ({_and_more(unsafe)})"
        found.append(error("unsafe-path", text, "make the zip with relative paths"))
    return found


def is_unsafe(path: str) -> bool:
    """Return whether unpacking this path would write outside the target folder, or nowhere."""
    if not path or path[0] == "/" or path[1:2] == ":" or "\0" in path:
        return True
    return ".." in path and ".." in path.split("/")


def _executable_findings(listing: _Listing) -> list[Finding]:
    executables = [path for path, lower in zip(listing.paths, listing.lower, strict=True) if lower.endswith(".exe")]
    shallow = [path for path in executables if path.count("/") <= DEEPEST]
    if not shallow:
        return [_no_executable(listing, executables)]
    found = [info("executable", f"the executable: {_and_more(shallow)}")]
    if not _folders_of_builds(listing.lower).intersection(_folder_of(f"/{path.lower()}") for path in shallow):
        text = f"beside {format_path(shallow[0])} there is neither Engine/ nor packaged content (Game/Content/Paks/*.pak)"
        found.append(warning("no-engine", text, "zip the whole Windows folder that packaging creates"))
    if len(shallow) > 1:
        text = f"{len(shallow):,} executables: Streampixel may ask which one to run"
        found.append(info("several-executables", text, "choose it in the dashboard"))
    return found


def _folder_of(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _folders_of_builds(lower: Sequence[str]) -> set[str]:
    """Return the folders that contain an Engine folder, or a game's folder with packaged content."""
    folders = {path[: path.find("/engine/") + 1] for path in lower if "/engine/" in path}
    for path in lower:
        if path.endswith(_PACKED) and "/content/" in path:
            folders.add(_folder_of(path[: path.find("/content/")]))
    return folders


def _no_executable(listing: _Listing, deeper: Sequence[str]) -> Finding:
    projects = [path for path, lower in zip(listing.paths, listing.lower, strict=True) if lower.endswith(".uproject")]
    if projects:
        text = f"this is a source project, not a packaged build ({_and_more(projects)}, and no .exe at depth {DEEPEST} or less)"
        return error("source-project", text, _PACKAGE)
    text = f"there is no .exe in the zip at depth {DEEPEST} or less"
    if deeper:
        nearest = min(deeper, key=lambda path: path.count("/"))
        is_inner = "/binaries/" in f"/{nearest.lower()}"
        hint = f"zip the Windows folder itself, {'with everything in it' if is_inner else 'not a folder around it'}"
        # The layout that the service accepts is not documented.
        return error("no-exe", f"{text}; the nearest is {format_path(nearest)}", hint, certain=False)
    return error("no-exe", text, _PACKAGE)


def _project_findings(listing: _Listing) -> list[Finding]:
    found = []
    projects = [path for path, lower in zip(listing.paths, listing.lower, strict=True) if lower.endswith(".uproject")]
    if projects and any(path.endswith(".exe") and path.count("/") <= DEEPEST + 1 for path in listing.lower):
        found.append(warning("uproject", f"the zip contains a project file ({_and_more(projects)}): a source project?", _PACKAGE))
    for folder in ("Saved", "Intermediate"):
        inside = listing.paths_with(f"/{folder.lower()}/")
        if inside:
            text = f"the zip contains a {folder} folder ({_and_more(inside)}): a source project?"
            found.append(warning(folder.lower(), text, "omit it: packaged builds do not need it"))
    return found


def _linux_findings(listing: _Listing) -> list[Finding]:
    # Windows builds contain third-party folders named Linux; only these two places are signs of a Linux build.
    linux = [
        path
        for path, lower in zip(listing.paths, listing.lower, strict=True)
        if "/binaries/linux" in lower or lower.startswith(("/linux/", "/linuxnoeditor/"))
    ]
    if not linux:
        return []
    hint = "Streampixel runs Windows builds: package for Windows"
    return [warning("linux", f"the zip looks like a Linux build ({_and_more(linux)})", hint)]


def _plugin_findings(listing: _Listing) -> list[Finding]:
    first = any("/pixelstreaming/" in path or "/pixelstreaming." in path for path in listing.lower)
    second = any("/pixelstreaming2/" in path or "/pixelstreaming2." in path for path in listing.lower)
    if first and second:
        hint = "disable one of them in the project; the original is recommended"
        return [warning("plugin", "both Pixel Streaming and Pixel Streaming 2 are in the zip", hint)]
    if second:
        return [info("plugin", "the plugin is Pixel Streaming 2", "the original is recommended")]
    if first:
        return [info("plugin", "the plugin is Pixel Streaming")]
    return [info("plugin", "no Pixel Streaming plugin among the file names: it may be inside a .pak", "check that it is enabled")]


def _symbol_findings(listing: _Listing) -> list[Finding]:
    sizes = [entry.compress_size for entry, path in zip(listing.entries, listing.lower, strict=True) if path.endswith(_SYMBOLS)]
    if not sizes:
        return []
    weight, total = sum(sizes), sum(entry.compress_size for entry in listing.entries)
    text = f"{count_of(len(sizes), 'file')} with debug symbols, {format_size(weight)} of {format_size(total)}"
    hint = "omit .pdb files: viewers do not need them"
    is_heavy = weight > _SYMBOLS_HEAVY or weight * 20 > total
    return [warning("symbols", text, hint) if is_heavy else info("symbols", text, hint)]


def _format_findings(listing: _Listing) -> list[Finding]:
    found = []
    odd = [entry.orig_filename for entry in listing.entries if entry.compress_type not in _METHODS]
    if odd:
        text = f"compressed with another method than deflate ({_and_more(odd)}): not every tool can unpack it"
        found.append(warning("compression", text, "use 7-Zip with -mm=Deflate; Windows Explorer uses Deflate64 over 2 GB"))
    slashes = [entry.orig_filename for entry in listing.entries if "\\" in entry.orig_filename]
    if slashes:
        text = f"paths with backslashes ({_and_more(slashes)}): outside Windows they unpack into a single folder"
        found.append(warning("backslashes", text, "make the zip with 7-Zip or PowerShell 7"))
    links = [entry.orig_filename for entry in listing.entries if entry.external_attr >> 28 == _LINK]
    if links:
        found.append(warning("links", f"symbolic links ({_and_more(links)})", "zip the files that they point to"))
    return found


def _and_more(paths: Sequence[str]) -> str:
    return format_path(paths[0]) if len(paths) == 1 else f"{format_path(paths[0])} and {len(paths) - 1:,} more"
