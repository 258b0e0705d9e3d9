"""A real terminal: prompts, the live line, colours, and every width."""

import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spcli.clock import Clock
from spcli.sandbox.seeds import MAIN, SHOWROOM_REJECTED
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World

pexpect = pytest.importorskip("pexpect")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")

ROOT = Path(__file__).parents[2]
URL = "https://builds.example.com/Game-1.4.zip"
PATIENCE = 30
COLOUR = re.compile("\x1b\\[[0-9;]*m")
Terminal = Callable[..., Any]


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox(World(1, 1.0, stage=0.15), now=Clock().wall) as sandbox:
        yield sandbox


@pytest.fixture
def terminal(tmp_path: Path, server: Sandbox) -> Iterator[Terminal]:
    """Starts a command in a terminal of its own; afterwards its key must not have been on the screen."""
    started: list[Any] = []
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "TERM": "xterm-256color",
        "TZ": "UTC",
        "SPCLI_CONFIG": str(tmp_path / "config.toml"),
        "SPCLI_STATE_DIR": str(tmp_path / "state"),
        "STREAMPIXEL_API_KEY": MAIN.api_key,
        "STREAMPIXEL_USER_ID": MAIN.user_id,
        "STREAMPIXEL_PROJECT_ID": MAIN.projects[0].id,
        "STREAMPIXEL_BASE_URL": server.base_url,
        "SPCLI_WINDOW": "1",
    }

    def start(*argv: str, width: int = 100, height: int = 24, **more: str) -> Any:
        env = {name: value for name, value in (environ | more).items() if value}
        child = pexpect.spawn(
            sys.executable,
            ["-m", "spcli", *argv],
            env=env,
            dimensions=(height, width),
            encoding="utf-8",
            timeout=PATIENCE,
            echo=True,
        )
        child.delaybeforesend = child.delayafterread = None
        child.delayafterclose = child.delayafterterminate = child.ptyproc.delayafterclose = 0.01
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def ended(child: Any) -> tuple[int, str]:
    """All that came on the screen until the end, and the exit code."""
    screen = child.read()
    child.wait()
    return child.exitstatus, screen.replace("\r\n", "\n")


def rows(screen: str) -> list[str]:
    """What stands on each line once all is drawn: a carriage return overwrites."""
    shown = []
    for line in COLOUR.sub("", screen).split("\n"):
        row: list[str] = []
        for part in line.split("\r"):
            row[: len(part)] = list(part)
        shown.append("".join(row).rstrip())
    return shown


def test_login_asks_and_hides_the_key(terminal: Terminal, tmp_path: Path) -> None:
    child = terminal("auth", "login", STREAMPIXEL_API_KEY="", STREAMPIXEL_USER_ID="")
    child.expect_exact("User ID: ")
    child.sendline(MAIN.user_id)
    child.expect_exact("API key: ")
    child.sendline(MAIN.api_key)
    code, screen = ended(child)
    assert code == 0, screen
    assert MAIN.api_key not in screen
    assert "verified" in screen
    assert tomllib.loads((tmp_path / "config.toml").read_text())["profiles"]["default"]["api_key"] == MAIN.api_key


def test_login_says_where_to_find_user_id_and_key(terminal: Terminal) -> None:
    child = terminal("auth", "login", STREAMPIXEL_API_KEY="", STREAMPIXEL_USER_ID="")
    child.expect_exact("Request API Key")
    child.expect_exact("User ID: ")
    child.sendeof()
    code, screen = ended(child)
    assert code == 2, screen


def test_a_wrong_key_is_not_stored(terminal: Terminal, tmp_path: Path) -> None:
    child = terminal("auth", "login", "--user-id", MAIN.user_id, STREAMPIXEL_API_KEY="")
    child.expect_exact("API key: ")
    child.sendline("canary-5ec4e7")
    code, screen = ended(child)
    assert code == 41
    assert "canary" not in screen
    assert not (tmp_path / "config.toml").exists()


def test_ctrl_c_at_a_hidden_prompt_restores_the_echo(terminal: Terminal, tmp_path: Path) -> None:
    child = terminal("auth", "login", "--user-id", MAIN.user_id, STREAMPIXEL_API_KEY="")
    child.expect_exact("API key: ")
    assert child.waitnoecho(PATIENCE)
    child.sendintr()
    code, screen = ended(child)
    assert code == 130, screen
    assert "Traceback" not in screen
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.parametrize(("typed", "code"), [("YES", 0), ("n", 15), ("", 15)])
def test_reset_asks_and_only_yes_confirms(terminal: Terminal, typed: str, code: int) -> None:
    child = terminal("limits", "--reset")
    child.expect_exact("[y/N] ")
    child.sendline(typed)
    assert ended(child)[0] == code


@pytest.mark.parametrize(
    ("words", "question"), [(("auth", "login"), "User ID: "), (("limits", "--reset"), "[y/N] ")], ids=["login", "reset"]
)
@pytest.mark.parametrize("key", ["intr", "eof"])
def test_ctrl_c_and_ctrl_d_at_a_prompt_end_its_line(terminal: Terminal, words: Any, question: str, key: str) -> None:
    child = terminal(*words)
    child.expect_exact(question)
    getattr(child, f"send{key}")()
    code, screen = ended(child)
    first, *lines = screen.split("\n")
    told = {"intr": (130, "interrupted"), "eof": (2, "User ID is required, and nothing was entered")}[key]
    assert (code, COLOUR.sub("", lines[0])) == (told if words[0] == "auth" or key == "intr" else (15, "nothing was changed")), (
        screen
    )
    assert first.replace("^C", "").replace("^D", "").strip("\b ") == ""


@pytest.mark.parametrize("variable", ["CI", "GITHUB_ACTIONS"])
def test_a_ci_with_a_terminal_is_not_asked(terminal: Terminal, variable: str) -> None:
    code, screen = ended(terminal("limits", "--reset", **{variable: "true"}))
    assert code == 15
    assert "[y/N]" not in screen


def test_a_wait_draws_one_live_line_and_removes_it(terminal: Terminal) -> None:
    code, screen = ended(terminal("upload", URL, "--wait"))
    assert code == 0, screen
    assert "\r" in screen
    assert re.search(r"■.*(pending|Downloading|Extracting|Saving|Distribute).* elapsed", screen)
    left = [row for row in rows(screen) if row]
    assert left[-1].startswith("share:")
    assert not any("elapsed" in row for row in left), left


def test_a_closed_window_counts_down(terminal: Terminal) -> None:
    # Long enough for a busy machine to start the second command before the window opens.
    ended(terminal("upload", URL, SPCLI_WINDOW="4"))
    code, screen = ended(terminal("upload", URL, SPCLI_WINDOW="4"))
    assert code == 0, screen
    assert re.search(r"Rate limit: uploading in \ds", screen)
    assert not any("uploading in" in row for row in rows(screen))


def test_ctrl_c_during_the_rate_limit_sends_nothing(terminal: Terminal, server: Sandbox) -> None:
    ended(terminal("upload", URL, SPCLI_WINDOW="60"))
    child = terminal("upload", URL, SPCLI_WINDOW="60")
    child.expect_exact("uploading in")
    child.sendintr()
    code, screen = ended(child)
    assert code == 130, screen
    # The terminal's own ^C stands behind the line that moves, and goes away with it.
    assert rows(screen)[-2:] == ["interrupted; nothing was sent", ""], screen
    assert len([record for record in server.requests if record.method == "POST"]) == 1


def test_quiet_draws_nothing(terminal: Terminal) -> None:
    code, screen = ended(terminal("upload", URL, "--wait", "-q"))
    assert code == 0
    assert re.fullmatch(r"[0-9a-f]{24}\n", screen)


def test_json_on_a_terminal_is_indented_by_two(terminal: Terminal) -> None:
    code, screen = ended(terminal("projects", "show", "--json"))
    assert code == 0
    assert screen.startswith('{\n  "id": ')


@pytest.mark.parametrize(
    ("more", "words", "has_colour"),
    [
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({"TERM": "dumb"}, (), False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, (), True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, (), False),
        ({}, ("--no-color",), False),
        ({"FORCE_COLOR": "1"}, ("--no-color",), False),
    ],
)
def test_colours_follow_the_environment(terminal: Terminal, more: Any, words: Any, has_colour: bool) -> None:
    _, screen = ended(terminal("builds", "show", *words, **more))
    assert bool(COLOUR.search(screen)) is has_colour, screen
    assert "\x1b" not in COLOUR.sub("", screen)


@pytest.mark.parametrize(("more", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_the_header_of_a_table_is_bold_with_colours(terminal: Terminal, more: Any, has_colour: bool) -> None:
    _, screen = ended(terminal("projects", "list", **more))
    assert bool(COLOUR.search(screen)) is has_colour, screen
    assert "\x1b" not in COLOUR.sub("", screen)


def test_a_dumb_terminal_gets_lines_and_no_carriage_returns(terminal: Terminal) -> None:
    code, screen = ended(terminal("upload", URL, "--wait", TERM="dumb"))
    assert code == 0
    assert "\r" not in screen
    assert "\x1b" not in screen
    assert len([line for line in screen.splitlines() if "elapsed" in line]) >= 2


@pytest.mark.parametrize("width", [0, 1, 20, 80, 120, 400])
def test_tables_keep_ids_whole_at_every_width(terminal: Terminal, width: int) -> None:
    code, screen = ended(terminal("projects", "list", width=width))
    assert code == 0, screen
    for project in MAIN.projects:
        assert project.id in screen
    assert "東京ショールーム" in COLOUR.sub("", screen).replace("\n", "") or width < 120


@pytest.mark.parametrize("width", [1, 40, 400])
def test_the_live_line_never_wraps(terminal: Terminal, width: int) -> None:
    child = terminal("upload", URL, "--wait", width=width)
    code, screen = ended(child)
    assert code == 0, screen
    for line in screen.split("\n"):
        drawn = [part for part in line.split("\r") if "elapsed" in part or "usual" in part]
        assert all(len(part) <= max(width - 1, 0) for part in drawn), drawn


@pytest.mark.parametrize("columns", ["0", "30", "x"])
def test_columns_is_read_from_the_environment_if_it_is_a_number(terminal: Terminal, columns: str) -> None:
    code, screen = ended(terminal("builds", COLUMNS=columns))
    assert code == 0
    assert SHOWROOM_REJECTED in screen


def test_stdout_in_a_pipe_is_plain_while_stderr_is_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    script = f"{sys.executable!r} -m spcli projects list > {str(tmp_path / 'out')!r}"
    child = terminal("--version")
    ended(child)
    shell = pexpect.spawn("/bin/sh", ["-c", script], env=child.env, encoding="utf-8", timeout=PATIENCE)
    shell.expect(pexpect.EOF)
    shell.close()
    text = (tmp_path / "out").read_text("utf-8")
    assert "\x1b" not in text
    assert all(project.name in text for project in MAIN.projects)


def folded_rows(screen: str, width: int) -> list[str]:
    """Return the rows of a screen, each of which must fit or be one long word."""
    lines = rows(screen)
    assert [line for line in lines if len(line) > width and len(line.split()) > 1] == []
    return lines


@pytest.mark.parametrize(
    ("words", "code", "whole"),
    [
        (("status",), 0, "Showroom-1.1.0.zip"),
        (("status", "--interval", "5s"), 2, "add --watch, or omit --interval"),
        (("rollback", "--dry-run"), 0, "(assumed live: it wasn't released from this machine)"),
        (("builds", "wait", SHOWROOM_REJECTED), 10, "fix the build and upload it again. Details:"),
    ],
)
def test_screens_plans_and_hints_are_folded_between_words(
    terminal: Terminal, words: tuple[str, ...], code: int, whole: str
) -> None:
    wide, narrow = (ended(terminal(*words, width=width)) for width in (200, 30))
    assert (wide[0], narrow[0]) == (code, code)
    assert whole in wide[1]
    folded = folded_rows(narrow[1], 30)
    assert " ".join(whole.split()) in " ".join(" ".join(folded).split())
    assert len(folded) > len(rows(wide[1]))


def test_watched_status_is_on_the_alternate_screen_and_fits_the_window(terminal: Terminal) -> None:
    child = terminal("status", "--watch", width=44, height=10)
    for _ in range(2):
        child.expect_exact("\x1b[H\x1b[2J")
        child.expect(r"… \d+ more lines")
    shown = folded_rows(child.before.replace("\r\n", "\n") + child.after, 44)
    assert len(shown) == 10, shown
    child.sendintr()
    code, rest = ended(child)
    assert (code, "interrupted" in rest) == (130, False)
    assert rest.rstrip().endswith("\x1b[?1049l")
