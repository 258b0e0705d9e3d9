"""The man pages: what the command tree knows, and the sections written by hand in `man_sections/`.

A page's hand-written file is named after it (`upload.txt`, `builds-wait.txt`, `spcli.txt`, `config.5.txt`). Its first lines may
say `codes:`, more exit codes; `see:`, more pages; `json:`, the model printed, behind `list` where it is an array. Below them a
section begins with `# NAME`; paragraphs are parted by empty lines, indented ones are code, `- term: text` is a list, and text
between backticks is bold. A command without a file gets a page all the same.
"""

import re
from pathlib import Path
from typing import NamedTuple

from command_tree import Argument, Node, Option, common, nodes
from roff import blocks, bold, code, escaped, filled, inline, item, paragraph, sentence

from spcli import __version__, models
from spcli.errors import EXIT_CODES, ExitCode
from spcli.settings.settingspec import SETTINGS, SPEC_OF, SettingSpec

ENDS = (
    "`spcli-exit-codes`(7) lists all codes; this command ends with one of these. Where nothing is said of it, the same command "
    "again ends the same way."
)
DATE = "2026-11-23"
SECTIONS = Path(__file__).resolve().parent / "man_sections"
LOCAL = {"exit-codes", "completion", "demo", "sandbox"}
PLACES = {
    "~/.config/spcli/config.toml": "Settings and stored keys, mode 0600; `spcli config path` prints where it is.",
    "~/.local/state/spcli/state.db": "The windows, a ledger of what was sent from here, and names for TAB. No key is in it.",
}


class Hand(NamedTuple):
    """What one hand-written file says."""

    codes: frozenset[int]
    see: tuple[str, ...]
    json: str
    sections: dict[str, str]


def pages() -> dict[str, str]:
    """Every page: file name and text."""
    found = {}
    tree = nodes()
    for node in tree:
        found[f"{_name(node)}.1"] = _command_page(node, tree)
    unused = {path.stem for path in SECTIONS.glob("*.txt")} - {"-".join(node.path) or "spcli" for node in tree}
    if unused - {"exit-codes.7", "config.5"}:
        raise SystemExit(f"man_sections: no such command: {', '.join(sorted(unused))}")
    found["spcli-exit-codes.7"] = _codes_page()
    found["spcli-config.5"] = _config_page()
    return found


def _command_page(node: Node, tree: list[Node]) -> str:
    hand = _hand("-".join(node.path) or "spcli")
    paragraphs, examples = _about(node.about)
    parts = [
        _head(_name(node), 1),
        _section("NAME", filled(f"{_name(node)} \\- {escaped(_sentence_start(node.purpose))}") + "\n"),
        _section("SYNOPSIS", _synopsis(node)),
        _section("DESCRIPTION", "".join(map(paragraph, paragraphs)) + blocks(hand.sections.pop("DESCRIPTION", ""))),
    ]
    if node.commands:
        parts.append(_section("COMMANDS", "".join(_command_item(one) for one in tree if one.path[:-1] == node.path and one.path)))
    if node.arguments:
        parts.append(_section("ARGUMENTS", "".join(map(_argument_item, node.arguments))))
    parts.append(_section("OPTIONS", _options(node)))
    examples_by_hand = hand.sections.pop("EXAMPLES", "")
    parts += [_section(name, blocks(text)) for name, text in hand.sections.items()]
    if hand.json:
        parts.append(_section("JSON OUTPUT", _json(hand.json)))
    parts += _facts(node, hand)
    if examples_by_hand or examples:
        parts.append(_section("EXAMPLES", blocks(examples_by_hand) or code(examples)))
    parts.append(_section("SEE ALSO", _see(node, tree, hand)))
    return "".join(parts)


def _facts(node: Node, hand: Hand) -> list[str]:
    """Exit status, environment and files, as far as they touch this command."""
    codes, variables = _codes(node) | hand.codes, _variables(node)
    text = filled(inline(ENDS)) + "\n"
    parts = [
        _section(
            "EXIT STATUS",
            text + "".join(item(bold(str(row.code)), _meaning(row, is_short=True)) for row in EXIT_CODES if row.code in codes),
        )
    ]
    if variables:
        items = (item(", ".join(map(bold, spec.environment)), sentence(spec.description)) for spec in variables)
        parts.append(_section("ENVIRONMENT", "".join(items)))
    places = [path for path in PLACES if ("state" not in path and _reads_config(node)) or _uses_state(node)]
    if places:
        parts.append(_section("FILES", "".join(item(f"\\fI{escaped(path)}\\fR", inline(PLACES[path])) for path in places)))
    return parts


def _reads_config(node: Node) -> bool:
    return node.path[:1] == () or node.path[0] not in LOCAL


def _has(node: Node, spelling: str) -> bool:
    return any(spelling in option.spellings for option in node.options)


def _uses_state(node: Node) -> bool:
    return not node.path or _has(node, "--timeout") or node.path == ("limits",)


def _codes(node: Node) -> set[int]:
    codes = {0, 1, 2, 130, 143}
    codes |= {3} if _reads_config(node) else set()
    kinds = {option.kind for option in node.options} | {argument.kind for argument in node.arguments}
    codes |= {13} if kinds & {"project", "upload"} else set()
    codes |= {40, 41, 43, 44, 48, 49, 50, 60, 62} if _has(node, "--timeout") else set()
    codes |= {19, 45, 61} if _has(node, "--on-limit") else set()
    codes |= {10, 11, 17} if _has(node, "--deadline") else set()
    return codes if node.path else {row.code for row in EXIT_CODES}


def _variables(node: Node) -> list[SettingSpec]:
    keys = ["default_profile", "config_file"] if _reads_config(node) else []
    keys += ["api_key", "user_id", "base_url", "state_dir"] if _has(node, "--timeout") else []
    keys += ["project"] if _has(node, "--project") else []
    keys += ["on_limit", "window"] if _has(node, "--on-limit") else []
    if node.path == ("limits",):
        keys += ["user_id", "base_url", "state_dir", "window"]
    wanted = set(keys) if node.path else set(SPEC_OF)
    return [spec for spec in SETTINGS if spec.key in wanted and spec.environment]


def _head(name: str, section: int) -> str:
    title = escaped(name.upper())
    return f'.TH "{title}" "{section}" "{DATE}" "spcli {__version__}" "spcli manual"\n.ad l\n'


def _section(name: str, body: str) -> str:
    return f".SH {name}\n.nh\n{body.removeprefix('.PP' + chr(10))}"


def _synopsis(node: Node) -> str:
    lines = [f'.SY "{escaped(" ".join(("spcli", *node.path)))}"']
    for option in node.options:
        spellings = [bold(spelling) for spelling in option.spellings]
        value = f"\\ \\fI{escaped(option.metavar)}\\fR" if option.metavar else ""
        shown = "\\ |\\ ".join(spellings) if not option.metavar and spellings[0].startswith("\\fB\\-\\-") else spellings[0]
        lines.append(f"[{shown}{value}]" + ("..." if option.repeats else ""))
    if node.commands:
        lines.append("\\fICOMMAND\\fR" if not node.default else "[\\fICOMMAND\\fR]")
        lines.append("[\\fIARGUMENT\\fR...]")
    for argument in node.arguments:
        name = f"\\fI{escaped(argument.metavar)}\\fR" + ("..." if argument.repeats else "")
        lines.append(name if argument.required else f"[{name}]")
    return "\n".join([*lines, ".YS"]) + "\n"


def _command_item(node: Node) -> str:
    return f".TP\n.BR {escaped(_name(node))} (1)\n{escaped(node.purpose)}\n"


def _argument_item(argument: Argument) -> str:
    return item(f"\\fI{escaped(argument.metavar)}\\fR", inline(argument.help))


def _option_item(option: Option) -> str:
    value = f" \\fI{escaped(option.metavar)}\\fR" if option.metavar else ""
    return item(", ".join(bold(spelling) for spelling in option.spellings) + value, inline(option.help))


def _options(node: Node) -> str:
    own = "".join(map(_option_item, node.options))
    if not node.path:
        return own + "".join(map(_option_item, common()))
    names = ", ".join(bold(option.spellings[-1]) for option in common())
    return own + ".PP\n" + filled(f"Every command also takes {names}; {bold('spcli')}(1) describes them.") + "\n"


def _json(shown: str) -> str:
    many, name = shown.startswith("list "), shown.removeprefix("list ")
    keys = [key for key in models.json_keys(getattr(models, name)) if key is not None]
    start = "An array of objects" if many else "One object"
    return filled(f"{start} with the keys {', '.join(map(bold, keys))}. What is not known is {bold('null')}.") + "\n"


def _see(node: Node, tree: list[Node], hand: Hand) -> str:
    near = [_name(one) for one in tree if one.path[:-1] == node.path[:-1] and len(node.path) > 1 and one is not node]
    below = [_name(one) for one in tree if one.path[:-1] == node.path and one.path]
    above = [_name(one) for one in tree if one.path == node.path[:-1] and node.path]
    wanted = {f"{name}(1)" for name in (*above, *below, *near)} | set(hand.see) | {"spcli-exit-codes(7)", "spcli-config(5)"}
    known = {f"{_name(one)}(1)" for one in tree} | {"spcli-exit-codes(7)", "spcli-config(5)"}
    if wanted - known:
        raise SystemExit(f"man_sections: no such page: {', '.join(sorted(wanted - known))}")
    ordered = sorted(wanted - {f"{_name(node)}(1)"}, key=lambda page: (page[-2], page))
    lines = [f".BR {escaped(page[:-3])} {page[-3:]}" for page in ordered]
    return " ,\n".join(lines) + "\n"


def _codes_page() -> str:
    hand = _hand("exit-codes.7")
    rows = "".join(item(f"{bold(str(row.code))} {escaped(row.name)}", _meaning(row)) for row in EXIT_CODES)
    return _page("spcli-exit-codes", 7, "what the exit codes of spcli mean", hand, {"EXIT CODES": rows})


def _config_page() -> str:
    hand = _hand("config.5")
    items = "".join(item(bold(spec.key), sentence(spec.description) + _sources(spec)) for spec in SETTINGS)
    return _page("spcli-config", 5, "settings of spcli: the config file and the environment", hand, {"SETTINGS": items})


def _page(name: str, section: int, purpose: str, hand: Hand, generated: dict[str, str]) -> str:
    """A page that is no command's: the hand-written sections in their order, the generated ones behind DESCRIPTION."""
    described = _section("DESCRIPTION", blocks(hand.sections.pop("DESCRIPTION")))
    parts = [_head(name, section), _section("NAME", f"{escaped(name)} \\- {escaped(purpose)}\n"), described]
    parts += [_section(title, body) for title, body in generated.items()]
    parts += [_section(title, blocks(text)) for title, text in hand.sections.items()]
    lines = [f".BR {escaped(page[:-3])} {page[-3:]}" for page in hand.see]
    return "".join([*parts, _section("SEE ALSO", " ,\n".join(lines) + "\n")])


def _sources(spec: SettingSpec) -> str:
    parts = [f"Environment: {', '.join(map(bold, spec.environment))}."] if spec.environment else []
    parts += [f"Flag: {bold(spec.flag)}."] if spec.flag else []
    parts += [f"Default: {escaped(spec.default)}."] if spec.default else []
    return "".join(".br\n" + part + "\n" for part in parts)


def _meaning(row: ExitCode, *, is_short: bool = False) -> str:
    answer = row.safe_to_retry
    retry = f" The same command again: {answer}." if answer and not (is_short and answer == "no") else ""
    if answer.startswith("no: "):
        retry = f" What to type then: `spcli {answer[4:]}`."
    return inline(row.meaning[0].upper() + row.meaning[1:] + "." + retry)


def _name(node: Node) -> str:
    return "-".join(("spcli", *node.path))


def _about(text: str) -> tuple[list[str], str]:
    """The paragraphs of a help text, and its examples."""
    paragraphs, examples = [], []
    for block in text.strip().split("\n\n"):
        if block.startswith("\b"):
            examples += block.splitlines()[1:]
        else:
            paragraphs.append(" ".join(block.split()))
    return paragraphs, "\n".join(line.removeprefix("  ") for line in examples)


def _hand(name: str) -> Hand:
    path = SECTIONS / f"{name}.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    head, *bodies = re.split(r"^# (.+)\n", text, flags=re.MULTILINE)
    said = dict(line.split(": ", 1) for line in head.splitlines() if line)
    return Hand(
        frozenset(map(int, said.get("codes", "").split())),
        tuple(said.get("see", "").split()),
        said.get("json", ""),
        dict(zip(bodies[::2], bodies[1::2], strict=True)),
    )


def _sentence_start(text: str) -> str:
    return text[0].lower() + text[1:].rstrip(".")
