"""TAB as data: the offers for each line, and their format for each shell."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.builds.lifecycle import STATES
from spcli.clock import Clock
from spcli.completion.answer import answer, quote_for_bash, quote_for_powershell, split_line
from spcli.completion.names import is_safe_word
from spcli.completion.tree import COMMANDS, COMMON, OPTIONS
from spcli.state.account import Account
from spcli.state.store import State

SERVICE = "https://api.streampixel.io/pixelStripeApi"
ROOT = Path(__file__).resolve().parents[2]
ANY_TEXT = st.text(st.sampled_from("aZ9 \t\n\r\x1b\x07\x85\u2028\u202e\u200b\u3000\u2019'\"$`;:\\é東😀"), max_size=300)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with two profiles, and of a machine that has seen projects and builds."""
    environ = {"SPCLI_CONFIG": str(tmp_path / "config.toml"), "SPCLI_STATE_DIR": str(tmp_path / "state")}
    (tmp_path / "config.toml").write_text(
        f'default_profile = "work"\n[profiles.work]\nuser_id = "u1"\n[profiles.local]\nuser_id = "u2"\n'
        f'base_url = "http://LOCALHOST:8787/{"api"}/"\n'
    )
    remember(environ, "u1", [("a" * 24, "Showroom"), ("b" * 24, "Show House")])
    return environ


def remember(environ: dict[str, str], user: str, projects: list[tuple[str, str]], *, service: str = SERVICE) -> None:
    state = State(Path(environ["SPCLI_STATE_DIR"]), clock=Clock(), environ={}, note=pytest.fail)
    state.names.remember_projects(Account(service, user), projects)
    state.close()


def offered(environ: dict[str, str], *words: str) -> list[str]:
    """The words that fish is offered behind `spcli`."""
    text = answer({**environ, "_SPCLI_COMPLETE": "complete_fish", "COMP_WORDS": "\n".join(["spcli", *words])})
    assert text is not None
    return [line.partition("\t")[0] for line in text.splitlines()[1:]]


def answer_to(shell: str, environ: dict[str, str], *words: str) -> str:
    """The whole answer to a shell."""
    text = answer({**environ, "_SPCLI_COMPLETE": f"complete_{shell}", "COMP_WORDS": "\n".join(["spcli", *words])})
    assert text is not None
    return text


def bash(line: str, environ: dict[str, str] | None = None, **more: str) -> list[str]:
    """What bash is to put in the place of the word at the end of `line`."""
    asked = {"_SPCLI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "1", "COMP_WORDBREAKS": " \t\n\"'@><=;|&(:"}
    return (answer({**(environ or {}), **asked, **more}) or "").splitlines()[1:]


# Which words


def test_answer_is_none_when_no_shell_asks() -> None:
    assert answer({}) is None
    assert answer({"_SPCLI_COMPLETE": "complete_tcsh", "COMP_WORDS": "spcli ", "COMP_CWORD": "1"}) is None
    assert answer({"_SPCLI_COMPLETE": "1"}) is None


def test_commands_are_offered_and_subcommands_after_their_group() -> None:
    assert offered({}, "") == list(COMMANDS[""][2])
    assert offered({}, "projects", "") == ["list", "show", "stats", "use"]
    assert offered({}, "builds", "") == ["list", "show", "wait"]


def test_nothing_is_offered_after_an_unknown_command() -> None:
    assert offered({}, "uplaod", "") == []
    assert offered({}, "projects", "nope", "--") == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_offers_its_options_and_the_common_ones(command: str) -> None:
    own = COMMANDS[f"{command} {COMMANDS[command][1]}".rstrip()][3]
    expected = {spelling for key in (*own, *COMMON) for spelling in OPTIONS[key][0]}
    assert set(offered({}, *command.split(), "-")) == expected


def test_option_is_offered_once_unless_it_repeats() -> None:
    left = offered({}, "upload", "--wait", "-p", "x", "--deadline=2h", "-")
    assert not {"--wait", "-p", "--project", "--deadline"} & set(left)
    assert "--dry-run" in left
    assert "--fault" in offered({}, "sandbox", "--fault", "upload:500", "--")


def test_options_before_the_command_are_skipped_with_their_values() -> None:
    assert offered({}, "--profile", "upload", "--json", "builds", "") == ["list", "show", "wait"]
    assert offered({}, "-qv", "completion", "") == ["bash", "zsh", "fish", "powershell"]


def test_option_in_place_of_a_subcommand_belongs_to_the_default_one() -> None:
    assert offered({}, "builds", "--status", "") == list(STATES)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("upload", "--on-limit", ""), ["wait", "fail"]),
        (("upload", "--on-limit=w"), ["--on-limit=wait", "--on-limit=fail"]),
        (("config", "set", "on_limit", ""), ["wait", "fail"]),
        (("config", "set", "base_url", ""), []),
        (("config", "set", "on_limit", "wait", ""), []),
        (("upload", ""), []),
        (("upload", "--deadline", ""), []),
        (("upload", "--deadline", "--"), []),
    ],
)
def test_values_are_offered_where_they_are_known(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered({}, *words) == expected


def test_config_set_offers_only_what_the_file_may_hold() -> None:
    assert "api_key" not in offered({}, "config", "set", "")
    assert "api_key" in offered({}, "config", "get", "")


def test_options_are_offered_when_no_argument_is_left() -> None:
    assert "--reset" in offered({}, "limits", "")
    assert "--wait" in offered({}, "upload", "https://host/a.zip", "")


def test_only_arguments_are_offered_after_two_dashes(home: dict[str, str]) -> None:
    assert offered(home, "projects", "show", "--", "-") == ["Showroom", "Show House", "a" * 24, "b" * 24]
    assert offered(home, "projects", "show", "--", "x", "") == []


def test_files_are_offered_only_where_a_file_is_expected() -> None:
    assert answer_to("bash", {}, "check", "") == "files\n"
    # Behind an open quote bash's own names need none.
    assert answer({"_SPCLI_COMPLETE": "complete_bash", "COMP_WORDS": "spcli check 'o"}) == "files '\n"
    for shell in ("zsh", "powershell"):
        assert answer_to(shell, {}, "upload", "--output-file=o").startswith("files 14")
    assert answer_to("fish", {}, "upload", "") == "nothing\n"


# Live names


def test_projects_of_the_profile_are_offered_by_name_and_id(home: dict[str, str]) -> None:
    assert offered(home, "upload", "-p", "") == ["Showroom", "Show House", "a" * 24, "b" * 24]
    assert offered(home, "config", "set", "project", "")[0] == "Showroom"
    assert "Showroom\t" + "a" * 24 in answer_to("fish", home, "upload", "-p", "")


def test_names_follow_the_profile_on_the_line_the_variable_and_the_service(home: dict[str, str]) -> None:
    remember(home, "u2", [("c" * 24, "Local")], service="http://localhost:8787/api")
    assert offered(home, "--profile", "local", "projects", "use", "") == ["Local", "c" * 24]
    assert offered({**home, "SPCLI_PROFILE": "local"}, "projects", "use", "") == ["Local", "c" * 24]
    elsewhere = {**home, "STREAMPIXEL_USER_ID": "u1", "STREAMPIXEL_BASE_URL": SERVICE.replace(".io/", ".io:443/")}
    assert offered(elsewhere, "projects", "use", "")[0] == "Showroom"
    assert offered({**home, "STREAMPIXEL_BASE_URL": "ftp://user:pw@host"}, "projects", "use", "") == []
    assert offered({**home, "STREAMPIXEL_BASE_URL": "https://elsewhere.example.com"}, "projects", "use", "") == []
    assert offered({**home, "STREAMPIXEL_USER_ID": "u3"}, "projects", "use", "") == []


def test_profiles_come_from_the_config_file(home: dict[str, str]) -> None:
    assert offered(home, "--profile", "") == ["work", "local"]
    assert offered(home, "config", "set", "default_profile", "") == ["work", "local"]


def test_builds_are_offered_newest_first_with_their_file_and_each_once(home: dict[str, str]) -> None:
    state = State(Path(home["SPCLI_STATE_DIR"]), clock=Clock(), environ={}, note=pytest.fail)
    state.names.remember_uploads(Account(SERVICE, "u1"), [("2" * 24, "Game-2.zip"), ("1" * 24, "Game-1.zip")])
    state.close()
    assert answer_to("fish", home, "builds", "wait", "").splitlines()[1:] == [
        "2" * 24 + "\tGame-2.zip",
        "1" * 24 + "\tGame-1.zip",
    ]
    assert offered(home, "builds", "wait", "2" * 24, "") == ["1" * 24]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "config.toml").write_text("not = [toml"),
        lambda folder: (folder / "config.toml").write_text("default_profile = [1]\nprofiles = 3\n"),
        lambda folder: (folder / "config.toml").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "config.toml").unlink(),
        lambda folder: (folder / "state" / "state.db").write_bytes(b"not a database" * 100),
        lambda folder: (folder / "state" / "state.db").unlink(),
        lambda folder: make_fifo(folder / "state" / "state.db-journal"),
        lambda folder: ((folder / "state" / "state.db").unlink(), make_fifo(folder / "state" / "state.db")),
    ],
)
def test_unreadable_files_give_no_names_and_no_failure(
    home: dict[str, str], spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    spoil(tmp_path)
    assert offered(home, "upload", "-p", "") == []


def make_fifo(path: Path) -> None:
    """Make a FIFO, which blocks a reader for ever, where the system has one."""
    if sys.platform == "win32":
        pytest.skip("no FIFO on Windows")
    os.mkfifo(path)


def test_only_ids_are_offered_where_a_project_id_is_expected(home: dict[str, str]) -> None:
    assert offered(home, "webhooks", "send", "build.approved", "-p", "") == ["a" * 24, "b" * 24]


def test_without_any_home_there_are_no_names() -> None:
    assert offered({"HOME": ""}, "completion", "f") != []
    assert offered({"SPCLI_CONFIG": os.devnull, "SPCLI_STATE_DIR": os.devnull}, "upload", "-p", "") == []


def test_the_platforms_own_places_are_read(home: dict[str, str], tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the places of Linux")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spcli").mkdir()
    (tmp_path / "config.toml").rename(tmp_path / "conf" / "spcli" / "config.toml")
    (tmp_path / "data").mkdir()
    (tmp_path / "state").rename(tmp_path / "data" / "spcli")
    places = {"XDG_CONFIG_HOME": str(tmp_path / "conf"), "XDG_STATE_HOME": str(tmp_path / "data")}
    assert offered(places, "upload", "-p", "")[0] == "Showroom"


def test_tab_changes_nothing_on_the_disk(home: dict[str, str], tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith("-shm")}
    offered(home, "upload", "-p", "")
    after = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith("-shm")}
    assert {name: text for name, text in after.items() if text} == {name: text for name, text in before.items() if text}


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "a\tb", "a\u202eb", "a\u200bb", "a\x9bb", "", " ", "-rf", "a\ud800b"])
def test_unprintable_name_is_omitted_and_its_id_is_offered(home: dict[str, str], name: str) -> None:
    remember(home, "u9", [("d" * 24, name.replace("\ud800", "\ufffe"))])
    for shell in ("bash", "zsh", "fish", "powershell"):
        text = answer_to(shell, {**home, "STREAMPIXEL_USER_ID": "u9"}, "upload", "-p", "")
        assert text.count("d" * 24) >= 1
        assert all(letter.isprintable() or letter in "\n\t" for letter in text)
        assert len(text.splitlines()) == 2


# The format for each shell


@given(NAMES)
def test_name_quoted_for_bash_is_read_back(name: str) -> None:
    assert shlex.split(quote_for_bash(name, ""), comments=False) == [name]
    assert shlex.split("'" + quote_for_bash(name, "'") + "'") == [name]
    assert split_line('"' + quote_for_bash(name, '"') + '"').words == [name]


@given(NAMES)
def test_line_quoted_for_bash_is_split_into_the_same_words(name: str) -> None:
    assert split_line("spcli -p " + quote_for_bash(name, "") + " x").words == ["spcli", "-p", name, "x"]
    assert split_line("spcli -p '" + quote_for_bash(name, "'").replace("'\\''", "") + "' x").words[3:] == ["x"]


@given(st.text(max_size=60), st.text(max_size=5))
def test_any_line_gives_an_answer(line: str, number: str) -> None:
    for shell in ("bash", "zsh", "fish", "powershell"):
        text = answer({"_SPCLI_COMPLETE": f"complete_{shell}", "COMP_WORDS": "spcli " + line, "COMP_CWORD": number})
        assert text is not None
        assert text.split()[0] in ("words", "files", "nothing")


def read_powershell_argument(typed: str) -> str:
    """Return the argument that PowerShell reads, by its grammar: a bare word, or a string in single quotes on one line."""
    quotes = "'\u2018\u2019\u201a\u201b"
    assert not set(typed) & set("\r\n\0")
    if not typed.startswith("'"):
        assert not set(typed) & set(' \t\v\f\x85\xa0$`;|&<>(){}@#",\u201c\u201d\u201e' + quotes)
        assert typed[0] not in "-\u2013\u2014\u2015"
        return typed
    inner, read, position = typed[1:-1], "", 0
    assert typed[-1] == "'"
    while position < len(inner):
        if inner[position] in quotes:
            assert inner[position + 1] == inner[position]
            position += 1
        read, position = read + inner[position], position + 1
    return read


@given(NAMES)
def test_name_quoted_for_powershell_is_read_back(name: str) -> None:
    if not name.startswith("-"):
        assert read_powershell_argument(quote_for_powershell(name)) == name


@given(st.lists(st.text(max_size=300) | ANY_TEXT, min_size=1, max_size=25))
@settings(max_examples=15)
def test_every_shell_is_offered_whole_safe_names_and_no_other(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    environ = {"SPCLI_CONFIG": os.devnull, "SPCLI_STATE_DIR": str(folder), "STREAMPIXEL_USER_ID": "u1"}
    names = [name.encode("utf-8", "replace").decode() for name in names]
    remember(environ, "u1", [(f"{number:024x}", name) for number, name in enumerate(names)])
    safe = {name.strip() for name in names if is_safe_word(name)}
    for shell in ("bash", "zsh", "fish", "powershell"):
        text = answer_to(shell, environ, "upload", "-p", "")
        assert all(letter.isprintable() or letter in "\n\t\u3000" for letter in text)
        lines = [line for line in text.split("\n")[1:-1] if not re.fullmatch("[0-9a-f]{24}", re.split("[\t:]", line)[0])]
        assert {READERS[shell](line) for line in lines} == safe


def read_zsh_word(line: str) -> str:
    """Return the word of a line for `_describe`: up to the first colon without a backslash."""
    return re.sub(r"\\(.)", r"\1", re.match(r"(?:[^:\\]|\\.)*", line)[0])  # type: ignore[index]


READERS: dict[str, Callable[[str], str]] = {
    "bash": lambda line: split_line("spcli " + line).words[-1],
    "zsh": read_zsh_word,
    "fish": lambda line: line.partition("\t")[0],
    "powershell": lambda line: read_powershell_argument(line.split("\t")[0]),
}


@pytest.mark.parametrize("end", ["\n", "\x1b]52;c;eA==\x07", "\u202e", "\u200b", "\x9b", "\u2028", "\x85"])
def test_name_that_is_unsafe_past_80_characters_is_not_offered(home: dict[str, str], end: str) -> None:
    remember(home, "u9", [("d" * 24, "x" * 100 + end + "y")])
    for shell in ("bash", "zsh", "fish", "powershell"):
        text = answer_to(shell, {**home, "STREAMPIXEL_USER_ID": "u9"}, "upload", "-p", "")
        assert [line[:24] for line in text.split("\n")[1:-1]] == ["d" * 24]


@pytest.mark.parametrize(
    ("typed", "replaced"),
    [
        ("spcli upload -p 'Show H", ["Show House"]),
        ('spcli upload -p "Show H', ["Show House"]),
        ("spcli upload -p Show\\ H", ["Show\\ House"]),
        ("spcli upload --project=Showr", ["Showroom"]),
        ("spcli upload --project='Show H", ["Show House"]),
        ("spcli upload -p showr", ["Showroom"]),
        ("spcli upload -p s", ["Showroom", "Show\\ House"]),
        ("spcli upload -p x", []),
    ],
)
def test_bash_gets_the_part_it_replaces(home: dict[str, str], typed: str, replaced: list[str]) -> None:
    assert bash(typed, home) == replaced


def test_names_in_several_cases_are_offered_only_as_typed(home: dict[str, str]) -> None:
    remember(home, "u5", [("e" * 24, "Alpha"), ("f" * 24, "ALPS")])
    both = {**home, "STREAMPIXEL_USER_ID": "u5"}
    assert bash("spcli upload -p Alp", both) == ["Alpha"]
    assert bash("spcli upload -p al", both) == []


def test_bash_sees_names_beside_ids_only_while_it_lists(home: dict[str, str]) -> None:
    assert "a" * 24 in bash("spcli upload -p ", home)
    assert "a" * 24 + "  (Showroom)" in bash("spcli upload -p ", home, COMP_TYPE="63")


def test_word_number_counts_where_words_are_passed_one_by_one() -> None:
    asked = {"_SPCLI_COMPLETE": "complete_zsh", "COMP_WORDS": "spcli\nbuilds\nwait", "COMP_CWORD": "1"}
    assert "upload:" in (answer(asked) or "")
    assert "show:" in (answer({**asked, "COMP_WORDS": "spcli builds", "COMP_CWORD": "2"}) or "")


def test_zsh_gets_colons_and_backslashes_escaped(home: dict[str, str]) -> None:
    remember(home, "u6", [("e" * 24, "a:b\\c")])
    assert "a\\:b\\\\c:" + "e" * 24 in answer_to("zsh", {**home, "STREAMPIXEL_USER_ID": "u6"}, "upload", "-p", "")


# What it costs


def _loaded(words: str, environ: dict[str, str]) -> set[str]:
    """The modules that one TAB press loads."""
    program = (
        "import os, sys; before = set(sys.modules); from spcli.completion.answer import answer; answer(os.environ);"
        "print(*sorted(set(sys.modules) - before))"
    )
    asked = {**environ, "_SPCLI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_WORDBREAKS": "=:", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=asked, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_tab_on_words_loads_the_tree_and_nothing_else() -> None:
    assert _loaded("spcli upload --on-limit ", {}) <= {
        "spcli",
        "spcli.completion",
        "spcli.completion.answer",
        "spcli.completion.tree",
    }


def test_tab_on_names_loads_neither_typer_nor_the_state_nor_the_settings(home: dict[str, str]) -> None:
    loaded = _loaded("spcli upload -p ", home)
    assert {"spcli.completion.names", "sqlite3", "tomllib"} <= loaded
    assert not loaded & {
        "typer",
        "httpx",
        "rich",
        "platformdirs",
        "pathlib",
        "spcli.state.store",
        "spcli.state.database",
        "spcli.settings",
        "spcli.cli",
    }


def test_the_program_answers_tab_and_only_tab(home: dict[str, str]) -> None:
    asked = {**home, "_SPCLI_COMPLETE": "complete_fish", "COMP_WORDS": "spcli\nupload\n-p\n", "COMP_CWORD": "3"}
    run = [sys.executable, "-m", "spcli"]
    environ = {**asked, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(run, env=environ, capture_output=True, check=True)
    assert done.stdout.decode().startswith("words\nShowroom\t")
    assert done.stderr == b""
    other = subprocess.run([*run, "exit-codes", "-q"], env=environ, capture_output=True, check=True)
    assert other.stdout.splitlines()[:3] == [b"0", b"1", b"2"]
