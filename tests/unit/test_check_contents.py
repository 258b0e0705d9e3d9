import pytest

from spcli.check.contents import Survey, ZipEntry
from spcli.check.finding import Finding, format_path
from spcli.check.names import decode_name, is_unsafe
from spcli.output.words import format_size
from tests.faults.zips import GOOD


def entry_of(path: str, *, size: int = 10, flags: int = 0, method: int = 8, attributes: int = 0) -> ZipEntry:
    return ZipEntry(path, True, flags, method, size, 0, attributes, 20, False)


def judge_contents(*entries: ZipEntry) -> list[Finding]:
    survey = Survey()
    for entry in entries:
        survey.add(entry)
    assert survey.count == len(entries)
    return survey.findings()


def findings_by_code(*paths: str) -> dict[str, Finding]:
    return {finding.code: finding for finding in judge_contents(*map(entry_of, paths))}


def levels(*paths: str) -> dict[str, str]:
    return {code: finding.level for code, finding in findings_by_code(*paths).items()}


def test_a_packaged_build_has_no_warning() -> None:
    assert levels(*GOOD) == {"executable": "info", "plugin": "info"}


@pytest.mark.parametrize("path", ["Game.exe", "Windows/Game.EXE", "Build/Windows/Game.exe"])
def test_an_executable_under_at_most_two_folders_is_findings_by_code(path: str) -> None:
    assert findings_by_code(path)["executable"].message == f"the executable: {path}"


def test_no_executable_is_an_error_that_names_the_nearest() -> None:
    assert "at depth 2 or less" in findings_by_code("readme.txt")["no-exe"].message
    inner = findings_by_code("Game/Binaries/Win64/Game-Win64-Shipping.exe")["no-exe"]
    assert (inner.hint, inner.certain) == ("zip the Windows folder itself, with everything in it", False)
    deep = findings_by_code("a/b/c/d/Other.exe", "a/b/c/Game.exe")["no-exe"]
    assert deep.level == "error"
    assert deep.message.endswith("the nearest is a/b/c/Game.exe")


def test_a_source_project_is_recognised() -> None:
    source = findings_by_code(
        "My/My.uproject", "My/Content/a.uasset", "My/Saved/x", "My/Intermediate/y", "My/Binaries/Win64/deep/E.exe"
    )
    assert {code: finding.level for code, finding in source.items()} == {
        "source-project": "error", "saved": "warning", "intermediate": "warning", "plugin": "info",
    }  # fmt: skip
    assert "My/My.uproject" in source["source-project"].message
    assert levels(*GOOD, "Windows/Game/Game.uproject")["uproject"] == "warning"


@pytest.mark.parametrize(
    "beside", ["Windows/Engine/x.dll", "Windows/engine/x", "Windows/Game/Content/Paks/a.pak", "Windows/Game/Content/Paks/a.ucas"]
)
def test_engine_or_packaged_content_beside_the_executable_is_enough(beside: str) -> None:
    assert "no-engine" not in levels("Windows/Game.exe", beside)


@pytest.mark.parametrize(
    "elsewhere", ["Engine/x.dll", "Other/Engine/x", "Windows/Game/Content/a.txt", "Windows/a/b/Content/Paks/a.pak"]
)
def test_an_executable_alone_is_a_warning(elsewhere: str) -> None:
    assert levels("Windows/Game.exe", elsewhere)["no-engine"] == "warning"


def test_an_engine_folder_at_the_top_belongs_to_an_executable_at_the_top() -> None:
    assert "no-engine" not in levels("Game.exe", "Engine/x.dll")


def test_several_executables_are_reported() -> None:
    assert levels(*GOOD, "Windows/Tool.exe")["several-executables"] == "info"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a/..", "C:/x", "C:\\x", "\\\\host\\x", "a\\..\\x", "a\0b", ""]
)
def test_a_path_that_leads_out_of_the_archive_is_unsafe(path: str) -> None:
    assert is_unsafe(path.replace("\\", "/"))
    assert levels("Game.exe", *([path] if path else []))["executable"] == "info"
    if path:
        assert levels(*GOOD, path)["unsafe-path"] == "error"


@pytest.mark.parametrize(
    ("path", "is_certain"),
    [("/Windows/a", False), ("\\Windows\\a", False), ("//host/a", False), ("/../a", True), ("C:\\a", True), ("../a", True)],
)
def test_only_a_path_that_leads_out_stops_an_upload(path: str, is_certain: bool) -> None:
    found = findings_by_code(*GOOD, path)["unsafe-path"]
    assert (found.level, found.certain) == ("error", is_certain)


@pytest.mark.parametrize("path", ["a..b/c", "..a/b", "a/...", "a/b.", "ü/..ä"])
def test_dots_in_a_name_are_safe(path: str) -> None:
    assert not is_unsafe(path)


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x2000])
def test_an_encrypted_entry_is_an_error(flag: int) -> None:
    entries = [*map(entry_of, GOOD), entry_of("Windows/x", flags=flag)]
    assert judge_contents(*entries)[0].code == "encrypted"


@pytest.mark.parametrize("path", ["Linux/Game.sh", "LinuxNoEditor/Game.sh", "Build/Game/Binaries/Linux/Game-Linux-Shipping"])
def test_a_linux_build_is_recognised(path: str) -> None:
    assert levels(path) == {"no-exe": "error", "linux": "warning", "plugin": "info"}


def test_third_party_folders_named_linux_are_not_a_linux_build() -> None:
    assert "linux" not in levels(*GOOD, "Windows/Engine/Binaries/ThirdParty/Ogg/Linux/x.so")


def test_the_plugin_is_reported_and_two_are_a_warning() -> None:
    first, second = "Windows/Engine/Plugins/Media/PixelStreaming/x", "Windows/Engine/Plugins/Media/PixelStreaming2/x"
    assert findings_by_code("Game.exe", first)["plugin"].message == "the plugin is Pixel Streaming"
    assert findings_by_code("Game.exe", second)["plugin"].message == "the plugin is Pixel Streaming 2"
    assert findings_by_code("Game.exe", first, second)["plugin"].level == "warning"
    assert findings_by_code("Game.exe")["plugin"].level == "info"


def test_only_large_debug_symbols_are_a_warning() -> None:
    entries = [entry_of(path, size=100_000) for path in GOOD]
    light, heavy = (entry_of("Windows/Game.pdb", size=size) for size in (1000, 300_000_000))
    assert {one.code: one.level for one in judge_contents(*entries, light)}["symbols"] == "info"
    (symbols,) = (one for one in judge_contents(*entries, heavy) if one.code == "symbols")
    assert (symbols.level, symbols.message) == ("warning", "1 file with debug symbols, 300.0 MB of 300.4 MB")


def test_unusual_formats_are_warnings() -> None:
    odd = [entry_of("Windows\\a.txt"), entry_of("Windows/link", attributes=0o120777 << 16), entry_of("Windows/b", method=9)]
    found = judge_contents(*map(entry_of, GOOD), *odd)
    assert {one.code for one in found if one.level == "warning"} == {"compression", "backslashes", "links"}


def test_paths_with_backslashes_are_judged_like_others() -> None:
    assert findings_by_code("Windows\\Game.exe", "Windows\\Engine\\x")["executable"].message == "the executable: Windows/Game.exe"


def test_long_or_unprintable_names_become_one_short_line() -> None:
    assert format_path("a\n##[error]\x1b[31m") == "a\ufffd##[error]\ufffd[31m"
    assert len(format_path("x" * 5000)) == 80


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (29_900_000_000, "29.9 GB")],
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    assert format_size(size) == text
    assert format_size(2**64).endswith("EB")


def test_a_loose_cook_with_a_deep_executable_is_a_warning_that_names_it() -> None:
    """A package without .pak files contains the project file, and the folder of the build may have folders around it."""
    loose = ["Game.exe", "Engine/Binaries/Win64/x.dll", "Game/Game.uproject", "Game/Content/Maps/a.umap"]
    for around in ("", "Windows/", "Build/Windows/"):
        assert levels(*(around + path for path in loose))["executable"] == "info"
    found = findings_by_code(*(f"MyGame/Build/Windows/{path}" for path in loose))
    assert {code for code, finding in found.items() if finding.level == "error"} == set()
    assert (found["deep-exe"].level, found["uproject"].level) == ("warning", "warning")
    assert "MyGame/Build/Windows/Game.exe" in found["deep-exe"].message


@pytest.mark.parametrize("beside", ["Engine/x.dll", "Content/a.uasset", "Game/Content/Paks/a.pak", "Game/Game.uproject"])
def test_a_deep_executable_of_a_build_is_not_an_error(beside: str) -> None:
    found = findings_by_code("a/b/c/Game.exe", f"a/b/c/{beside}")
    assert "deep-exe" in found
    assert not [finding for finding in found.values() if finding.level == "error"]


def test_a_source_project_with_a_built_executable_is_still_one() -> None:
    found = findings_by_code("My/My.uproject", "My/Source/a.cpp", "My/Binaries/Win64/My.exe")
    assert (found["source-project"].level, found["source-project"].certain) == ("error", True)


@pytest.mark.parametrize(
    "names",
    [
        ["./MyGame/Windows/Game.exe", "./MyGame/Windows/Engine/x.dll"],
        [".//MyGame//Windows/./Game.exe", "MyGame/Windows/Engine//x.dll"],
        [".\\MyGame\\Windows\\Game.exe", "MyGame\\Windows\\Engine\\x.dll"],
        ["./", "./MyGame/", "./MyGame/Windows/", "./MyGame/Windows/Game.exe", "./MyGame/Windows/Engine/"],
    ],
)
def test_dots_empty_parts_and_backslashes_do_not_count_as_folders(names: list[str]) -> None:
    found = findings_by_code(*names)
    assert found["executable"].message.endswith("MyGame/Windows/Game.exe")
    assert not {"no-engine", "no-exe", "deep-exe", "unsafe-path"} & found.keys()


@pytest.mark.parametrize(
    ("folder", "encoding"),
    [("表示/予約", "cp932"), ("ソ", "cp932"), ("許功蓋", "big5"), ("Größe/Menü", "cp850"), ("日本", "utf-8")],
)
def test_the_second_byte_of_a_letter_is_not_a_separator(folder: str, encoding: str) -> None:
    name, is_declared = decode_name(f"{folder}/Game.exe".encode(encoding), is_utf8=False)
    assert is_declared
    assert name.count("/") + name.count("\\") == folder.count("/") + 1
    assert name == f"{folder}/Game.exe"


def test_a_wrong_utf8_flag_is_noticed_and_the_name_is_read() -> None:
    assert decode_name("表/Game.exe".encode("cp932"), is_utf8=True) == ("表/Game.exe", False)
    assert decode_name("ä".encode(), is_utf8=True) == ("ä", True)


@pytest.mark.parametrize(
    "helper",
    [
        "UEPrereqSetup_x64.exe", "Windows/UE4PrereqSetup_x64.exe", "Engine/Extras/Redist/en-us/UEPrereqSetup_x64.exe",
        "Windows/CrashReportClient.exe", "Engine/Binaries/Win64/CrashReportClient.exe", "__MACOSX/._Game.exe", "._Game.exe",
        "Windows/VC_redist.x64.exe",
    ],
)  # fmt: skip
def test_a_helper_is_not_taken_for_the_executable(helper: str) -> None:
    alone = findings_by_code(helper, "Windows/Engine/x.dll")
    assert alone["no-exe"].level == "error"
    found = findings_by_code("Windows/Game.exe", "Windows/Engine/x.dll", helper)
    assert found["executable"].message == "the executable: Windows/Game.exe"
    assert "several-executables" not in found


@pytest.mark.parametrize(
    "paths",
    [("WindowsServer/Game.exe", "WindowsServer/Engine/x"), ("GameServer.exe", "Engine/x"), ("a/WindowsServer/GServer.exe",)],
)
def test_a_dedicated_server_build_is_a_warning(paths: tuple[str, ...]) -> None:
    assert findings_by_code(*paths)["server"].level == "warning"
    assert "server" not in findings_by_code("Windows/Game.exe", "Windows/Engine/x", "Windows/GameServer.exe")


def test_a_plugin_for_linux_in_a_windows_build_is_not_a_linux_build() -> None:
    for path in ("Windows/Game/Plugins/Net/Binaries/Linux/libnet.so", "Windows/Game/Binaries/Linux/x.so"):
        assert "linux" not in levels(*GOOD, path)
    assert levels(*GOOD, "Linux/Game.sh")["linux"] == "warning"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Linux/Game.sh", "a Linux build (Linux/)"),
        ("LinuxArm64/Game.sh", "a Linux build"),
        ("Mac/Game.app/Contents/MacOS/Game", "a macOS build"),
        ("Android/Game-arm64.apk", "a mobile build"),
    ],
)
def test_the_platform_explains_a_missing_executable(path: str, words: str) -> None:
    found = findings_by_code(path)["no-exe"]
    assert f"there is no .exe in the zip at depth 2 or less: the zip looks like {words}" in found.message
    assert found.hint == "package for Windows: Streampixel runs Windows builds only"


def test_a_zip_inside_a_zip_is_named() -> None:
    found = {one.code: one for one in judge_contents(entry_of("Game/", size=0), entry_of("Game/Build.zip", size=1000))}
    assert found["no-exe"].message == "the zip contains another archive (Game/Build.zip) and no .exe"
    assert found["no-exe"].hint == "unpack it once and upload the zip inside"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("Windows/aux.txt", "is a reserved name"), ("Windows/NUL", "is a reserved name"), ("W/com1/a", "is a reserved name"),
        ("Windows/a.", "ends in a dot or a space"), ("Windows/b /c", "ends in a dot or a space"), ("Windows/a:b", "contains :"),
        ("Windows/what?", "contains ?"), ("Windows/a\x01", "contains a control character"), ("W/" + "x" * 256, "255 characters"),
        ("/".join(["folder"] * 50), "a path of more than 259 characters"),
    ],
)  # fmt: skip
def test_a_name_that_windows_cannot_create_is_a_warning(path: str, reason: str) -> None:
    found = findings_by_code(*GOOD, path)["windows-name"]
    assert found.level == "warning"
    assert reason in found.message
    assert found.message.startswith("Windows cannot create ")


@pytest.mark.parametrize("path", ["Windows/auxiliary.txt", "Windows/a.b.c", "Windows/.hidden", "W/con sole", "W/Com10"])
def test_an_ordinary_name_is_fine_for_windows(path: str) -> None:
    assert "windows-name" not in findings_by_code(*GOOD, path)


@pytest.mark.parametrize(
    "paths",
    [
        ("Windows/Data.txt", "Windows/data.TXT"),
        ("Windows/a", "Windows/a"),
        ("Windows/a", "Windows/A/b"),
        ("Windows/A/b", "Windows/a"),
        ("Windows\\a", "./Windows/a"),
    ],
)
def test_names_that_windows_cannot_tell_apart_are_a_warning(paths: tuple[str, ...]) -> None:
    found = findings_by_code(*GOOD, *paths)["same-name"]
    assert found.level == "warning"
    assert "the same name for Windows (Windows/" in found.message


def test_folders_that_are_listed_or_spelled_twice_are_fine() -> None:
    assert "same-name" not in findings_by_code(*GOOD, "Windows/", "windows/", "Windows/x/", "Windows/x/a", "Windows/x/b")


def test_metadata_of_macos_does_not_count() -> None:
    assert levels(*GOOD, "__MACOSX/Windows/._Game.exe", "__MACOSX/._Windows") == levels(*GOOD)
