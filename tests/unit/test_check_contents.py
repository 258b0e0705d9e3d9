import pytest

from spcli.check.archive import Entry
from spcli.check.contents import Survey
from spcli.check.finding import Finding, format_path, format_size
from spcli.check.names import is_unsafe
from tests.faults.zips import GOOD


def entry_of(path: str, *, size: int = 10, flags: int = 0, method: int = 8, attributes: int = 0) -> Entry:
    return Entry(path, True, flags, method, size, 0, attributes, 20, False)


def judge_contents(*entries: Entry) -> list[Finding]:
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
