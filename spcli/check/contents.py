"""Pure: judge whether the entries of a zip are a packaged Windows build with Pixel Streaming.

Known causes of rejection (https://docs.streampixel.io, build lifecycle): corrupt archive, missing executable, malformed package,
unsupported files, a source project in place of a package. The exact layout of folders is not documented.
"""

from typing import NamedTuple

from spcli.check.finding import Finding, error, format_path, info, sort_by_level, warning
from spcli.check.names import PATH_LIMIT, is_unsafe, normal_path, windows_problem
from spcli.output.words import count_of, format_size

DEEPEST = 2
"""Folders above the executable: `Build/Windows/Game.exe`."""
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = (0, 8)
_LINK = 0o12
_VERSION_LIMIT = 63
_SYMBOLS = ("pdb", "debug", "sym")
_PACKED = ("pak", "ucas", "utoc")
_ARCHIVES = ("zip", "7z", "rar")
_MOBILE = ("apk", "aab", "ipa", "obb")
_SYMBOLS_HEAVY = 100_000_000
_KEPT = 1000
_FOLDER_LEVELS = 64
# Parts of names of executables that a package may contain besides the game's.
_HELPERS = ("prereqsetup", "crashreport", "vc_redist", "vcredist", "cefsubprocess", "epicwebhelper", "dxsetup", "oalinst")
_THIRD_PARTY = ("/plugins/", "/engine/", "/thirdparty/")
_PACKAGE = "package it in Unreal (Platforms > Windows > Package Project) and zip the resulting Windows folder"
_FOR_WINDOWS = "package for Windows: Streampixel runs Windows builds only"


class ZipEntry(NamedTuple):
    """An entry of the directory. `offset` is that of its local header, `size` that of its compressed data."""

    name: str
    is_declared_encoding: bool
    flags: int
    method: int
    size: int
    offset: int
    attributes: int
    version: int
    has_odd_extra: bool


class Examples:
    """Paths of one kind: the first of them, and how many there are."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def add(self, path: str) -> None:
        """Count a path, and keep the first."""
        self.count += 1
        self.first = self.first or path

    def __str__(self) -> str:
        return format_path(self.first) if self.count <= 1 else f"{format_path(self.first)} and {self.count - 1:,} more"


class Survey:
    """Collects what the rules need, entry by entry: of hundreds of thousands only a few names are kept."""

    def __init__(self) -> None:
        self.count = 0
        self._examples: dict[str, Examples] = {}
        self._bytes = self._symbol_bytes = self._archive_bytes = 0
        self._executable_folders = set[str]()
        self._deep_executables = list[str]()
        self._build_folders = set[str]()
        self._name_problem = ""
        # Hashes of paths in lower case.
        self._files, self._folders = set[int](), set[int]()
        self._last_folder = ""

    def add(self, entry: ZipEntry) -> None:
        """Take one entry."""
        self.count += 1
        self._bytes += entry.size
        self._add_format(entry)
        path = normal_path(entry.name)
        lower = path.lower()
        if lower.startswith("__macosx/"):
            return
        folder = lower[: lower.rfind("/") + 1]
        if folder != self._last_folder:
            self._last_folder = folder
            self._add_folder(path, folder)
        if folder != lower:
            self._add_file(path, lower, folder, entry.size)

    def _note(self, kind: str, path: str) -> None:
        if kind not in self._examples:
            self._examples[kind] = Examples()
        self._examples[kind].add(path)

    def _add_format(self, entry: ZipEntry) -> None:
        name = entry.name
        if entry.flags & _ENCRYPTED:
            self._note("encrypted", name)
        if entry.method not in _METHODS:
            self._note("compression", name)
        if entry.attributes >> 28 == _LINK:
            self._note("links", name)
        if "\\" in name:
            self._note("backslashes", name)
        if is_unsafe(name):
            self._note("unsafe-path", name)
            if is_unsafe(name.lstrip("/\\")):
                self._note("leads-out", name)
        if not entry.is_declared_encoding:
            self._note("name-encoding", name)
        if entry.version > _VERSION_LIMIT:
            self._note("version", name)
        if entry.has_odd_extra:
            self._note("extra", name)

    def _add_folder(self, path: str, folder: str) -> None:
        """Take the folder of a path, and those around it, the first time they occur."""
        ends = [at for at, letter in enumerate(folder) if letter == "/"][:_FOLDER_LEVELS]
        is_new = False
        for end in reversed(ends):
            key = hash(folder[:end])
            if key in self._folders:
                break
            self._folders.add(key)
            is_new = True
            if key in self._files:
                self._note("same-name", path[:end])
            self._judge_name(path[folder.rfind("/", 0, end) + 1 : end], path[: end + 1])
        if is_new:
            self._judge_folder(f"/{folder}", path[: len(folder)])

    def _judge_folder(self, place: str, path: str) -> None:
        """Note the folders that say what kind of build this is; `place` is in lower case between slashes."""
        for mark in ("/engine/", "/content/"):
            self._add_build_folder(place, place.find(mark))
        for kind in ("saved", "intermediate"):
            if f"/{kind}/" in place:
                self._note(kind, path)
        if place.startswith("/linux"):
            self._note("linux", path)
        if "/binaries/linux" in place and not any(mark in place for mark in _THIRD_PARTY):
            self._note("linux-binaries", path)
        if ".app/contents/" in place:
            self._note("mac", path)
        if "/pixelstreaming/" in place:
            self._note("plugin", path)
        if "/pixelstreaming2/" in place:
            self._note("plugin2", path)

    def _add_build_folder(self, place: str, at: int) -> None:
        if at >= 0 and len(self._build_folders) < _KEPT:
            self._build_folders.add(place[1 : at + 1])

    def _add_file(self, path: str, lower: str, folder: str, size: int) -> None:
        key, name = hash(lower), lower[len(folder) :]
        if key in self._files or key in self._folders:
            self._note("same-name", path)
        self._files.add(key)
        self._judge_name(path[len(folder) :], path)
        kind = name.rpartition(".")[2]
        place = f"/{folder}"
        if kind == "exe":
            self._add_executable(path, name, place)
        elif kind in _PACKED:
            # The folder around the game's, which contains Content.
            game = place.find("/content/")
            self._add_build_folder(place, place.rfind("/", 0, max(game, 0)))
        elif kind == "uproject":
            self._note("uproject", path)
            # A staged build without .pak files has the project file in the game's folder.
            self._add_build_folder(place, place.rfind("/", 0, len(place) - 1))
        elif kind in _SYMBOLS:
            self._note("symbols", path)
            self._symbol_bytes += size
        elif kind in _ARCHIVES:
            self._note("archive", path)
            self._archive_bytes += size
        elif kind in _MOBILE:
            self._note("mobile", path)
        elif name.startswith(("pixelstreaming.", "pixelstreaming2.")):
            self._note("plugin2" if name[14] == "2" else "plugin", path)

    def _add_executable(self, path: str, name: str, place: str) -> None:
        if name.startswith("._"):
            return
        if "/engine/" in place or any(part in name for part in _HELPERS):
            self._note("helper", path)
            return
        if path.count("/") > DEEPEST:
            if len(self._deep_executables) < _KEPT:
                self._deep_executables.append(path)
            return
        self._note("executable", path)
        if "/windowsserver/" in place or name.endswith("server.exe"):
            self._note("server", path)
        if len(self._executable_folders) < _KEPT:
            self._executable_folders.add(place[1:])

    def _judge_name(self, name: str, path: str) -> None:
        """Note a name that Windows cannot create."""
        problem = windows_problem(name)
        if problem is None and len(path) > PATH_LIMIT:
            problem = f"is part of a path of more than {PATH_LIMIT} characters"
        if problem is not None:
            self._name_problem = self._name_problem or problem
            self._note("windows-name", path)

    def findings(self) -> list[Finding]:
        """Return the findings about the entries, errors first."""
        found = [
            *self._unpack_findings(),
            *self._executable_findings(),
            *self._project_findings(),
            *self._platform_findings(),
            *self._plugin_findings(),
            *self._symbol_findings(),
            *self._format_findings(),
            *self._name_findings(),
        ]
        return sort_by_level(found)

    def _unpack_findings(self) -> list[Finding]:
        found = []
        if encrypted := self._examples.get("encrypted"):
            found.append(error("encrypted", f"the zip is encrypted ({encrypted})", "make the zip without a password"))
        if unsafe := self._examples.get("unsafe-path"):
            text = f"the zip has absolute paths or paths that lead out of it ({unsafe})"
            # Most tools strip a slash at the start.
            is_certain = "leads-out" in self._examples
            found.append(error("unsafe-path", text, "make the zip with relative paths", certain=is_certain))
        return found

    def _executable_findings(self) -> list[Finding]:
        executables = self._examples.get("executable")
        if executables is None:
            return [self._deep_executable() or self._no_executable()]
        found = [info("executable", f"the executable: {executables}")]
        if not self._build_folders & self._executable_folders:
            text = (
                f"beside {format_path(executables.first)} there is neither Engine/ nor packaged content (Game/Content/Paks/*.pak)"
            )
            found.append(warning("no-engine", text, "zip the whole Windows folder that packaging creates"))
        servers = self._examples.get("server")
        if servers and servers.count == executables.count:
            text = f"this looks like a dedicated server build ({servers}): it renders nothing to stream"
            found.append(warning("server", text, "package the game target, not the server"))
        if executables.count > 1:
            text = f"{executables.count:,} executables: Streampixel may ask which one to run"
            found.append(info("several-executables", text, "choose it in the dashboard"))
        return found

    def _deep_executable(self) -> Finding | None:
        """Return the warning for an executable of a package with too many folders around it, or None."""
        for path in self._deep_executables:
            if path[: path.rfind("/") + 1].lower() in self._build_folders:
                text = f"the executable is deeper than {DEEPEST} folders ({format_path(path)}): Streampixel may not find it"
                return warning("deep-exe", text, "zip the Windows folder itself, not a folder around it")
        return None

    def _no_executable(self) -> Finding:
        text, deeper = f"there is no .exe in the zip at depth {DEEPEST} or less", self._deep_executables
        is_inner = all("/binaries/" in f"/{path.lower()}" for path in deeper)
        if projects := self._examples.get("uproject"):
            text = f"this is a source project, not a packaged build ({projects}, and {text.removeprefix('there is ')})"
            return error("source-project", text, _PACKAGE, certain=is_inner)
        if deeper:
            nearest = min(deeper, key=lambda path: path.count("/"))
            hint = f"zip the Windows folder itself, {'with everything in it' if is_inner else 'not a folder around it'}"
            # The layout that the service accepts is not documented.
            return error("no-exe", f"{text}; the nearest is {format_path(nearest)}", hint, certain=False)
        if helpers := self._examples.get("helper"):
            return error("no-exe", f"{text} but {helpers}, which is not the game", _PACKAGE, certain=False)
        archives = self._examples.get("archive")
        if archives and self._archive_bytes * 2 > self._bytes:
            return error(
                "no-exe", f"the zip contains another archive ({archives}) and no .exe", "unpack it once and upload the zip inside"
            )
        if platform := self._platform():
            return error("no-exe", f"{text}: the zip looks like {platform[1]}", _FOR_WINDOWS)
        return error("no-exe", text, _PACKAGE)

    def _project_findings(self) -> list[Finding]:
        found = []
        projects = self._examples.get("uproject")
        if projects and ("executable" in self._examples or self._deep_executable()):
            text = f"the zip contains a project file ({projects}): a source project?"
            found.append(warning("uproject", text, _PACKAGE))
        for code, folder in (("saved", "Saved"), ("intermediate", "Intermediate")):
            if folders := self._examples.get(code):
                text = f"the zip contains a {folder} folder ({folders}): a source project?"
                found.append(warning(code, text, "omit it: packaged builds do not need it"))
        return found

    def _platform(self) -> tuple[str, str] | None:
        """Return the code and the name, with an example, of another platform that the build is for, or None."""
        for kind, code, words in (
            ("linux", "linux", "a Linux build"),
            ("linux-binaries", "linux", "a Linux build"),
            ("mac", "platform", "a macOS build"),
            ("mobile", "platform", "a mobile build"),
        ):
            if examples := self._examples.get(kind):
                return code, f"{words} ({examples})"
        return None

    def _platform_findings(self) -> list[Finding]:
        # Windows builds contain Linux libraries of plugins: only a folder at the top is a build of its own.
        if "executable" in self._examples or self._deep_executables:
            linux = self._examples.get("linux")
            return [warning("linux", f"the zip also contains a Linux build ({linux})", "omit it")] if linux else []
        platform = self._platform()
        return [warning(platform[0], f"the zip looks like {platform[1]}", _FOR_WINDOWS)] if platform else []

    def _plugin_findings(self) -> list[Finding]:
        first, second = "plugin" in self._examples, "plugin2" in self._examples
        if first and second:
            hint = "disable one of them in the project; the original is recommended"
            return [warning("plugin", "both Pixel Streaming and Pixel Streaming 2 are in the zip", hint)]
        if second:
            return [info("plugin", "the plugin is Pixel Streaming 2", "prefer the original, as Streampixel recommends")]
        if first:
            return [info("plugin", "the plugin is Pixel Streaming")]
        text = "no Pixel Streaming plugin among the file names: it may be inside a .pak"
        return [info("plugin", text, "check that it is enabled")]

    def _symbol_findings(self) -> list[Finding]:
        symbols = self._examples.get("symbols")
        if symbols is None:
            return []
        size = self._symbol_bytes
        text = f"{count_of(symbols.count, 'file')} with debug symbols, {format_size(size)} of {format_size(self._bytes)}"
        is_heavy = size > _SYMBOLS_HEAVY or size * 20 > self._bytes
        hint = "omit .pdb files: viewers do not need them"
        return [warning("symbols", text, hint) if is_heavy else info("symbols", text, hint)]

    def _format_findings(self) -> list[Finding]:
        texts = {
            "compression": (
                "compressed with another method than deflate ({}): not every tool can unpack it",
                "use 7-Zip with -mm=Deflate; Windows Explorer uses Deflate64 over 2 GB",
            ),
            "version": ("entries that need a newer zip version ({}): not every tool can unpack them", "make the zip again"),
            "backslashes": (
                "paths with backslashes ({}): outside Windows they unpack into a single folder",
                "make the zip with 7-Zip or PowerShell 7",
            ),
            "links": ("symbolic links ({})", "zip the files that they point to"),
            "extra": ("extra fields with a wrong length ({}): not every tool can unpack them", "make the zip again"),
            "name-encoding": ("names that are marked as UTF-8 but are not ({})", "make the zip with 7-Zip or PowerShell 7"),
        }
        found = self._examples
        return [warning(code, text.format(found[code]), hint) for code, (text, hint) in texts.items() if code in found]

    def _name_findings(self) -> list[Finding]:
        found = []
        if names := self._examples.get("windows-name"):
            more = f" (and {names.count - 1:,} more names)" if names.count > 1 else ""
            text = f"Windows cannot create {format_path(names.first)}: the name {self._name_problem}{more}"
            found.append(warning("windows-name", text, "rename it before packaging"))
        if same := self._examples.get("same-name"):
            text = f"two entries have the same name for Windows ({same}): one replaces the other"
            found.append(warning("same-name", text, "use names that differ in more than letter case"))
        return found
