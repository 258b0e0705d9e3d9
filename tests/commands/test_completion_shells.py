"""TAB in the real shells, in a terminal: what the screen shows, and which arguments the program gets after ENTER.

The program on the shell's path answers TAB as the installed one does, and prints its arguments when it is run: a name that comes
back unchanged through a shell's quoting shows that the shell executed nothing in it.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from spcli.clock import Clock
from spcli.state.account import Account
from spcli.state.store import State

pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "https://api.streampixel.io/pixelStripeApi"
HOSTILE = "Wow! $(touch hurt) `touch hurt` \"two\" 'one' a:b=c \\ ;|&<>*?[x]{y}~#% 日本　語"
PROJECTS = [
    ("aaaaaaaaaaaaaaaaaaaaaaa1", "Showroom"),
    ("aaaaaaaaaaaaaaaaaaaaaaa2", "Two Words"),
    ("aaaaaaaaaaaaaaaaaaaaaaa3", HOSTILE),
    ("aaaaaaaaaaaaaaaaaaaaaaa4", "demo: Paris"),
    ("aaaaaaaaaaaaaaaaaaaaaaa5", "evil\x1b]0;title\x07name"),
    ("aaaaaaaaaaaaaaaaaaaaaaa6", "東京"),
]
UPLOADS = [("bbbbbbbbbbbbbbbbbbbbbbb1", "Game-1.4.zip"), ("bbbbbbbbbbbbbbbbbbbbbbb2", "Game-1.5\x1b[31m.zip")]
# Unsafe past the 80 characters that a description shows: a newline, an OSC 52 sequence, a bidi override, a zero-width space.
UNSAFE_ENDS = ["\n$(touch hurt)", "\x1b]52;c;aHVydA==\x07", "\u202eexe", "\u200b", "\r\nrm", "\x9b31m"]
LETTERS = "aZ09 _-./:=,@%+~!#$^&*(){}[]|;<>?`'\"\\éßñ東京語한글😀"
PROMPT = "READY>"
TIMEOUT = 30
BASH_COMPLETION = [
    Path(folder, "share/bash-completion/bash_completion") for folder in ("/usr", "/usr/local", "/opt/homebrew", "/opt/local")
]

PROGRAM = """#!/bin/sh
if [ -n "$_SPCLI_COMPLETE" ]; then
  PYTHONPATH='{root}' exec '{python}' -c 'from spcli.__main__ import run; run()' "$@"
fi
echo ARGV
for word; do printf '<%s>\\n' "$word"; done
echo END
"""


class Terminal:
    """A shell in a pseudo-terminal."""

    def __init__(self, home: Path, argv: list[str]) -> None:
        environ = {
            "HOME": str(home),
            "PATH": f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_STATE_HOME": str(home / ".local" / "state"),
            "HISTFILE": "",
        }
        self.home = home
        self._child = pexpect.spawn(
            argv[0], argv[1:], env=environ, cwd=str(home), timeout=TIMEOUT, dimensions=(50, 250), encoding="utf-8"
        )
        self._child.delaybeforesend = None
        self._child.delayafterclose = self._child.ptyproc.delayafterclose = 0.01

    def set_up(self, *lines: str) -> None:
        """Type lines that prepare the shell, and wait until it has run them."""
        for line in lines:
            self._child.send(line + "\r")
        self._child.send("echo set''up\r")
        self._child.expect("setup\r")
        self._child.expect_exact(PROMPT)

    def argv(self, typed: str) -> list[str]:
        """Type a line, with TAB where it has one, press ENTER, and return the program's arguments."""
        self._child.send(typed + "\r")
        self._child.expect(r"ARGV\r\n((?:<.*>\r\n)*)END\r")
        return [line[1:-1] for line in self._child.match[1].splitlines()]

    def screen(self, typed: str, until: str) -> str:
        """Type a line and return what appears as far as `until`, with control sequences; the line stays as typed."""
        self._child.send(typed)
        self._child.expect(until)
        return str(self._child.before + self._child.after)

    def close(self) -> None:
        """End the shell."""
        self._child.close(force=True)


def plain(text: str) -> str:
    """Remove a terminal's control sequences."""
    return re.sub(r"\x1b(\[[0-9;?<>=]*[a-zA-Z]|\][^\x07]*\x07|[()][A-Z0-9]|[=>])|[\x07\x0f\x0e]", "", text)


def long_names() -> list[str]:
    """Return names of up to 300 characters, each with a start of its own: random ones, and unsafe ones."""
    random = Random(9)
    lengths = (1, 20, 79, 80, 120, 190, 197, 198, 296)
    safe = ["".join(random.choices(LETTERS, k=length)).strip() + "." for length in lengths]
    unsafe = ["x" * 90 + end for end in UNSAFE_ENDS]
    return [f"q{number:02}{rest}" for number, rest in enumerate([*safe, *unsafe])]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the program, two profiles, and names that an earlier command saw."""
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    program = home / "bin" / "spcli"
    program.write_text(PROGRAM.format(python=sys.executable, root=str(ROOT)))
    program.chmod(0o755)
    config = home / ".config" / "spcli"
    config.mkdir(parents=True)
    users = {"default": "user-1", "staging": "user-2", "long": "user-3"}
    profiles = "".join(f'[profiles.{name}]\nuser_id = "{user}"\n' for name, user in users.items())
    (config / "config.toml").write_text(profiles)
    state = State(home / ".local" / "state" / "spcli", clock=Clock(), environ={}, note=pytest.fail)
    state.names.remember_projects(Account(SERVICE, "user-1"), PROJECTS)
    state.names.remember_uploads(Account(SERVICE, "user-1"), UPLOADS)
    state.names.remember_projects(Account(SERVICE, "user-2"), [("cccccccccccccccccccccccc", "Backstage")])
    state.names.remember_projects(Account(SERVICE, "user-3"), [(f"{n:024x}", name) for n, name in enumerate(long_names())])
    state.close()
    (home / "Game Build.zip").write_bytes(b"PK")
    (home / "Sub Folder").mkdir()
    (home / "Sub Folder" / "Inner.zip").write_bytes(b"PK")
    return home


def _bash(home: Path, extra: str = "") -> Terminal:
    terminal = Terminal(home, ["bash", "--norc", "--noprofile", "-i"])
    terminal.set_up(
        f"PS1='{PROMPT}'; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'",
        extra,
        f"source '{ROOT}/completions/spcli.bash'",
    )
    return terminal


def _bash_with_package(home: Path) -> Terminal:
    named = os.environ.get("BASH_COMPLETION_SCRIPT")
    script = next((path for path in [*([Path(named)] if named else []), *BASH_COMPLETION] if path.exists()), None)
    if script is None:
        pytest.skip("the package bash-completion is not installed")
    return _bash(home, f"source '{script}'")


def _zsh(home: Path) -> Terminal:
    terminal = Terminal(home, ["zsh", "-f", "-i"])
    terminal.set_up(
        f"PS1='{PROMPT}'; unsetopt beep zle_bracketed_paste; unset zle_bracketed_paste; LISTMAX=1000",
        "autoload -Uz compinit; compinit -u -d ~/.zcompdump",
        f"source '{ROOT}/completions/_spcli'",
    )
    return terminal


def _zsh_by_fpath(home: Path) -> Terminal:
    terminal = Terminal(home, ["zsh", "-f", "-i"])
    terminal.set_up(
        f"PS1='{PROMPT}'; unsetopt beep; unset zle_bracketed_paste; LISTMAX=1000",
        f"fpath=('{ROOT}/completions' $fpath); autoload -Uz compinit; compinit -u -d ~/.zcompdump-fpath",
    )
    return terminal


def _fish(home: Path) -> Terminal:
    terminal = Terminal(home, ["fish", "--no-config", "-i"])
    terminal.set_up(
        f"function fish_prompt; printf '{PROMPT}'; end; set -g fish_autosuggestion_enabled 0; set -g fish_greeting",
        f"source '{ROOT}/completions/spcli.fish'",
    )
    return terminal


SHELLS: dict[str, Callable[[Path], Terminal]] = {
    "bash": _bash,
    "bash with its package": _bash_with_package,
    "zsh": _zsh,
    "zsh by fpath": _zsh_by_fpath,
    "fish": _fish,
}


def _started(name: str, home: Path) -> Terminal:
    program = name.split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    return SHELLS[name](home)


@pytest.fixture(scope="module", params=[name for name in SHELLS if name != "zsh by fpath"])
def shell(request: pytest.FixtureRequest, home: Path) -> Iterator[Terminal]:
    """Start each shell with its script, for all tests."""
    terminal = _started(request.param, home)
    yield terminal
    terminal.close()


@pytest.fixture(params=SHELLS)
def fresh(request: pytest.FixtureRequest, home: Path) -> Iterator[Terminal]:
    """Start each shell with its script for one test, which may leave half a line behind."""
    terminal = _started(request.param, home)
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("typed", "argv"),
    [
        ("spcli upl\t", ["upload"]),
        ("spcli pro\tsta\t", ["projects", "stats"]),
        ("spcli upload --dry\t", ["upload", "--dry-run"]),
        ("spcli upload --on-limit f\t", ["upload", "--on-limit", "fail"]),
        ("spcli upload --on-limit=f\t", ["upload", "--on-limit=fail"]),
        ("spcli --profile sta\t", ["--profile", "staging"]),
        ("spcli config set on_l\tf\t", ["config", "set", "on_limit", "fail"]),
        ("spcli completion po\t", ["completion", "powershell"]),
    ],
)
def test_words_are_completed(shell: Terminal, typed: str, argv: list[str]) -> None:
    assert shell.argv(typed) == argv


@pytest.mark.parametrize(
    ("typed", "argv"),
    [
        ("spcli upload -p Show\t", ["upload", "-p", "Showroom"]),
        ("spcli upload --project=Show\t", ["upload", "--project=Showroom"]),
        ("spcli upload -p Two\t", ["upload", "-p", "Two Words"]),
        ("spcli upload -p 'Two W\t", ["upload", "-p", "Two Words"]),
        ("spcli upload -p two\t", ["upload", "-p", "Two Words"]),
        ('spcli upload -p "Two W\t', ["upload", "-p", "Two Words"]),
        ("spcli upload -p Two\\ W\t", ["upload", "-p", "Two Words"]),
        ("spcli projects use demo\t", ["projects", "use", "demo: Paris"]),
        ("spcli upload -p 'demo: P\t", ["upload", "-p", "demo: Paris"]),
        ("spcli upload -p 東\t", ["upload", "-p", "東京"]),
        ("spcli upload -p aaaaaaaaaaaaaaaaaaaaaaa1\t", ["upload", "-p", "aaaaaaaaaaaaaaaaaaaaaaa1"]),
        ("spcli builds show bbbbbbbbbbbbbbbbbbbbbbb2\t", ["builds", "show", "bbbbbbbbbbbbbbbbbbbbbbb2"]),
        ("spcli upload --profile staging -p Ba\t", ["upload", "--profile", "staging", "-p", "Backstage"]),
    ],
)
def test_names_are_completed_and_quoted(shell: Terminal, typed: str, argv: list[str]) -> None:
    assert shell.argv(typed) == argv


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_hostile_name_comes_back_whole_and_nothing_in_it_is_executed(shell: Terminal, quote: str) -> None:
    assert shell.argv(f"spcli upload -p {quote}Wow\t") == ["upload", "-p", HOSTILE]
    assert not (shell.home / "hurt").exists()


def test_long_names_come_back_whole_or_are_not_offered(shell: Terminal) -> None:
    for name in long_names():
        is_offered = len(name) <= 200 and name.isprintable()
        typed = f"spcli upload --profile long -p {name[:3]}\t"
        # fish finds the project by its description, too, and then inserts the ID.
        assert shell.argv(typed)[-1] in ([name] if is_offered else [name[:3], f"{int(name[1:3]):024x}"])
    assert not (shell.home / "hurt").exists()


def test_unsafe_names_never_reach_the_screen(fresh: Terminal) -> None:
    shown = fresh.screen("spcli upload --profile long -p q0\t\t", "q02")
    assert not any(end in shown for end in UNSAFE_ENDS)


def test_name_is_completed_after_a_colon_in_it(shell: Terminal) -> None:
    assert shell.argv("spcli upload -p demo:\t") == ["upload", "-p", "demo: Paris"]


def test_files_are_completed_where_a_file_is_expected(shell: Terminal) -> None:
    assert shell.argv("spcli check Game\t") == ["check", "Game Build.zip"]
    assert shell.argv("spcli upload Game\t") == ["upload", "Game"]


@pytest.mark.parametrize(
    "typed",
    [
        "--output-file=Game\t",
        "--output-file=Game\\ B\t",
        "--output-file='Game B\t",
        '--output-file="Game B\t',
        "--output-file Game\t",
    ],
)
def test_files_are_completed_after_an_option_and_an_equals_sign(shell: Terminal, typed: str) -> None:
    value = shell.argv(f"spcli upload {typed}")[1:]
    assert value in (["--output-file=Game Build.zip"], ["--output-file", "Game Build.zip"])


@pytest.mark.parametrize("start", ["'Sub\t", "Sub\t", "~/Sub\t", "$HOME/Sub\t"])
def test_files_are_completed_folder_by_folder_from_home_and_in_quotes(shell: Terminal, start: str) -> None:
    folder = f"{shell.home}/Sub Folder" if "/" in start else "Sub Folder"
    assert shell.argv(f"spcli check {start}Inn\t") == ["check", f"{folder}/Inner.zip"]


@pytest.mark.parametrize("program", ["./bin/spcli", "~/bin/spcli", "$HOME/bin/spcli"])
def test_words_are_completed_after_a_path_to_the_program(shell: Terminal, program: str) -> None:
    assert shell.argv(f"{program} upload --output-file=Game\t") == ["upload", "--output-file=Game Build.zip"]


ALIAS = {
    "bash": "alias sp=spcli; complete -F _spcli sp",
    "zsh": "setopt complete_aliases; alias sp=spcli; compdef sp=spcli",
    "zsh by fpath": "alias sp=spcli",
    "fish": "alias sp=spcli",
}


@pytest.mark.parametrize("name", ALIAS)
def test_words_are_completed_after_an_alias(home: Path, name: str) -> None:
    terminal = _started(name, home)
    terminal.set_up(ALIAS[name])
    assert terminal.argv("sp upload --on-limit f\t") == ["upload", "--on-limit", "fail"]
    terminal.close()


def test_zsh_loads_the_script_from_fpath(home: Path) -> None:
    terminal = _started("zsh by fpath", home)
    assert terminal.argv("spcli upl\t") == ["upload"]
    assert terminal.argv("spcli upload -p 'Two W\t") == ["upload", "-p", "Two Words"]
    assert terminal.argv("spcli upload --output-file=Game\t") == ["upload", "--output-file=Game Build.zip"]
    terminal.close()


UNUSUAL = {
    "bash": ["IFS=wfo", "set -u", "shopt -s nullglob failglob; set -C", "enable -n compopt"],
    "zsh": ["IFS=wfo", "setopt nounset", "setopt ksharrays", "setopt shwordsplit noglob"],
}


@pytest.mark.parametrize(("name", "setting"), [(name, one) for name, settings in UNUSUAL.items() for one in settings])
def test_unusual_shell_options_change_nothing(home: Path, name: str, setting: str) -> None:
    terminal = _started(name, home)
    terminal.set_up(setting)
    assert terminal.argv("spcli upload -p Two\t") == ["upload", "-p", "Two Words"]
    assert terminal.argv("spcli check Game\t") == ["check", "Game Build.zip"]
    assert terminal.argv("spcli check 'Game\t") == ["check", "Game Build.zip"]
    assert terminal.argv("spcli check ~/Game\t") == ["check", f"{home}/Game Build.zip"]
    terminal.close()


def test_word_in_the_middle_of_the_line_is_completed_there(shell: Terminal) -> None:
    back = "\x1b[D" * len(" --wait")
    assert shell.argv(f"spcli upload -p Show --wait{back}\t") == ["upload", "-p", "Showroom", "--wait"]


@pytest.mark.parametrize("name", SHELLS)
def test_nothing_is_printed_where_the_program_is_missing(home: Path, name: str) -> None:
    terminal = _started(name, home)
    terminal.set_up("set -gx PATH /usr/bin /bin" if name == "fish" else "PATH=/usr/bin:/bin")
    shown = terminal.screen("spcli upl\t\t\x15echo by''e\r", r"[\r\n]bye[\r\n]")
    terminal.close()
    assert not re.search(r"(?i)unknown|not found|no such", plain(shown))


def test_screen_lists_commands(fresh: Terminal) -> None:
    assert "distribute" in plain(fresh.screen("spcli \t\t", r"completion[^\r\n]*[\r\n]"))


def test_screen_lists_builds_with_their_files_and_no_control_character(fresh: Terminal) -> None:
    # The first TAB inserts what the IDs share; fish shortens that in its list.
    shown = fresh.screen("spcli builds wait \t\t\t", r"Game-1\.5\[31m\.zip")
    assert re.search(r"[b\u2026]{9}b2\W", plain(shown))
    assert "\x1b[31m.zip" not in shown


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_descriptions_are_shown_beside_commands_where_the_shell_can(home: Path, name: str) -> None:
    terminal = _started(name, home)
    shown = terminal.screen("spcli builds \t", r"Wait until builds are processed")
    terminal.close()
    assert "Show one build" in shown


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_builds_are_listed_newest_first_even_if_two_files_have_one_name(home: Path, name: str) -> None:
    state = State(home / ".local" / "state" / "spcli", clock=Clock(), environ={}, note=pytest.fail)
    ids = [f"{letter * 20}{number}" for letter, number in (("f", 4), ("e", 3), ("d", 2), ("c", 1))]
    files = ["Same.zip", "Other.zip", "Same.zip", "Last.zip"]
    state.names.remember_uploads(Account(SERVICE, "user-2"), list(zip(ids, files, strict=True)))
    state.close()
    terminal = _started(name, home)
    shown = plain(terminal.screen("spcli --profile staging builds show \t\t", r"Last\.zip"))
    terminal.close()
    listed = re.findall(r"([c-f])\1{7,19}[1-4]\W[^\r\n]*?(Same|Other|Last)", shown)
    assert listed == [("f", "Same"), ("e", "Other"), ("d", "Same"), ("c", "Last")], shown


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_describes_a_value_that_it_cannot_complete(home: Path) -> None:
    terminal = _started("zsh", home)
    terminal.set_up("zstyle ':completion:*:messages' format '%d'; zstyle ':completion:*' format '%d'")
    shown = terminal.screen("spcli upload --deadline \t", r"build itself continues")
    terminal.close()
    assert "DUR: Stop waiting after DUR (default 2h)" in shown
