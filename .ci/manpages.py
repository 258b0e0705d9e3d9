"""The man pages: what the command tree knows, and the sections written by hand in `man_sections/`.

A page's hand-written file is named after it (`upload.txt`, `builds-wait.txt`, `spcli.txt`, `config.5.txt`). Its first line may
say `see:`, more pages. Below it a section begins with `# NAME`; paragraphs are parted by empty lines, indented ones are code,
`- term: text` is a list, and text between backticks is bold. DESCRIPTION, JSON OUTPUT and ENVIRONMENT go on what the program
knows; the items of EXIT STATUS say what a code means for that command.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from command_tree import Argument, Node, Option, common, nodes
from documents import described
from facts import codes, files, has, meaning, variables
from roff import blocks, bold, code, escaped, filled, inline, item, paragraph, sentence

from spcli import __version__
from spcli.errors import EXIT_CODES
from spcli.sandbox import faults
from spcli.settings.table import SETTINGS, SettingSpec

ENDS = (
    "`spcli-exit-codes`(7) lists all codes; this command ends with one of these. Where nothing is said of it, the same command "
    "again ends the same way."
)
FAULTS = (
    "`--fault` takes ENDPOINT:KIND, or ENDPOINT:KINDx3 for the first three calls of that endpoint (without it the first one), "
    "or ENDPOINT:KINDx* for all of them."
)
HANDED_ON = (
    "- `GITHUB_ACTIONS`, `TF_BUILD`, `TEAMCITY_VERSION`: Set by the CI system. Later steps then get id, project, state and share "
    "URL of the build, in GitHub Actions through the files that `GITHUB_OUTPUT` and `GITHUB_STEP_SUMMARY` name."
)
DATE = "2026-11-23"
SECTIONS = Path(__file__).resolve().parent / "man_sections"


class Hand(NamedTuple):
    """What one hand-written file says."""

    see: tuple[str, ...]
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
    found["spcli-exit-codes.7"] = _codes_page(tree)
    found["spcli-config.5"] = _config_page()
    return found


def _command_page(node: Node, tree: list[Node]) -> str:
    hand = _hand("-".join(node.path) or "spcli")
    # A word that stands for a command under it has that one's options, codes and documents.
    acting = next((one for one in tree if one.path == (*node.path, node.default)), node)
    paragraphs, examples = _about(node)
    sections = [
        ("NAME", filled(f"{_name(node)} \\- {escaped(_sentence_start(node.purpose))}") + "\n"),
        ("SYNOPSIS", _synopsis(node, acting)),
        ("DESCRIPTION", "".join(map(paragraph, paragraphs)) + blocks(hand.sections.pop("DESCRIPTION", ""))),
        ("COMMANDS", "".join(_command_item(one) for one in tree if one.path[:-1] == node.path and one.path)),
        ("ARGUMENTS", "".join(map(_argument_item, node.arguments))),
        ("OPTIONS", _options(acting)),
        ("FAULTS", _faults() if node.path == ("sandbox",) else ""),
    ]
    known = {
        "JSON OUTPUT": "".join(map(paragraph, described(" ".join(acting.path)))),
        "EXIT STATUS": _codes(acting, hand.sections.pop("EXIT STATUS", "")),
        "ENVIRONMENT": _environment(acting),
        "FILES": "".join(item(f"\\fI{escaped(path)}\\fR", inline(text)) for path, text in files(acting).items()),
    }
    known = {name: body + blocks(hand.sections.pop(name, "")) for name, body in known.items()}
    by_hand = blocks(hand.sections.pop("EXAMPLES", ""))
    sections += [(name, blocks(text)) for name, text in hand.sections.items()]
    sections += [*known.items(), ("EXAMPLES", by_hand or code(examples)), ("SEE ALSO", _see(node, tree, hand))]
    return _head(_name(node), 1) + "".join(_section(name, body) for name, body in sections if body)


def _codes(node: Node, by_hand: str) -> str:
    said = {int(term.strip("`")): " ".join(text.split()) for term, text in re.findall(r"^- (.+?): (.+)$", by_hand, re.MULTILINE)}
    wanted = codes(node) | set(said)
    rows = (
        item(bold(str(row.code)), inline(meaning(node, row, said.get(row.code, "")))) for row in EXIT_CODES if row.code in wanted
    )
    return filled(inline(ENDS)) + "\n" + "".join(rows)


def _environment(node: Node) -> str:
    items = "".join(item(", ".join(map(bold, spec.environment)), sentence(spec.description)) for spec in variables(node))
    return items + (blocks(HANDED_ON) if has(node, "--output-file") else "")


def _faults() -> str:
    """The program's own table of what can go wrong."""
    lists = (
        "".join(item(bold(name), sentence(what)) for name, what in table.items()) for table in (faults.ENDPOINTS, faults.KINDS)
    )
    endpoints, kinds = lists
    return paragraph(FAULTS) + paragraph("Endpoints:") + endpoints + paragraph("Kinds:") + kinds


def _head(name: str, section: int) -> str:
    title = escaped(name.upper())
    return f'.TH "{title}" "{section}" "{DATE}" "spcli {__version__}" "spcli manual"\n.ad l\n'


def _section(name: str, body: str) -> str:
    return f".SH {name}\n.nh\n{body.removeprefix('.PP' + chr(10))}"


def _synopsis(node: Node, acting: Node) -> str:
    lines = [f'.SY "{escaped(" ".join(("spcli", *node.path)))}"']
    for option in acting.options:
        spellings = [bold(spelling) for spelling in option.spellings]
        value = f"\\ \\fI{escaped(option.metavar)}\\fR" if option.metavar else ""
        shown = "\\ |\\ ".join(spellings) if not option.metavar and spellings[0].startswith("\\fB\\-\\-") else spellings[0]
        one = f"{shown}{value}" if option.help.endswith("(required).") else f"[{shown}{value}]"
        lines.append(one + ("..." if option.repeats else ""))
    for argument in node.arguments:
        name = f"\\fI{escaped(argument.metavar)}\\fR" + ("..." if argument.repeats else "")
        lines.append(name if argument.required else f"[{name}]")
    if node.default:
        lines += [".YS", lines[0]]
    if node.commands:
        lines += ["\\fICOMMAND\\fR", "[\\fIARGUMENT\\fR...]"]
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


def _see(node: Node, tree: list[Node], hand: Hand) -> str:
    near = [_name(one) for one in tree if one.path[:-1] == node.path[:-1] and len(node.path) > 1 and one is not node]
    below = [_name(one) for one in tree if one.path[:-1] == node.path and one.path]
    above = [_name(one) for one in tree if one.path == node.path[:-1] and node.path]
    wanted = {f"{name}(1)" for name in (*above, *below, *near)} | set(hand.see) | {"spcli-exit-codes(7)", "spcli-config(5)"}
    known = {f"{_name(one)}(1)" for one in tree} | {"spcli-exit-codes(7)", "spcli-config(5)"}
    if wanted - known:
        raise SystemExit(f"man_sections: no such page: {', '.join(sorted(wanted - known))}")
    ordered = sorted(wanted - {f"{_name(node)}(1)"}, key=lambda page: (page[-2], page))
    return _references(ordered)


def _references(named: Iterable[str]) -> str:
    return " ,\n".join(f".BR {escaped(page[:-3])} {page[-3:]}" for page in named) + "\n"


def _codes_page(tree: list[Node]) -> str:
    hand = _hand("exit-codes.7")
    rows = "".join(item(f"{bold(str(row.code))} {escaped(row.name)}", inline(meaning(tree[0], row))) for row in EXIT_CODES)
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
    return "".join([*parts, _section("SEE ALSO", _references(hand.see))])


def _sources(spec: SettingSpec) -> str:
    parts = [f"Environment: {', '.join(map(bold, spec.environment))}."] if spec.environment else []
    parts += [f"Flag: {bold(spec.flag)}."] if spec.flag else []
    parts += [f"Default: {escaped(spec.default)}."] if spec.default else []
    return "".join(".br\n" + part + "\n" for part in parts)


def _name(node: Node) -> str:
    return "-".join(("spcli", *node.path))


def _about(node: Node) -> tuple[list[str], str]:
    """The paragraphs of a help text without the purpose, which stands in NAME already, and its examples."""
    paragraphs, examples = [], []
    for block in node.about.strip().split("\n\n"):
        if block.startswith("\b"):
            examples += block.splitlines()[1:]
        else:
            paragraphs.append(" ".join(block.split()))
    return [text for text in paragraphs if text != node.purpose], "\n".join(line.removeprefix("  ") for line in examples)


def _hand(name: str) -> Hand:
    path = SECTIONS / f"{name}.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    head, *bodies = re.split(r"^# (.+)\n", text, flags=re.MULTILINE)
    said = dict(line.split(": ", 1) for line in head.splitlines() if line)
    return Hand(
        tuple(said.get("see", "").split()),
        dict(zip(bodies[::2], bodies[1::2], strict=True)),
    )


def _sentence_start(text: str) -> str:
    return text[0].lower() + text[1:].rstrip(".")
