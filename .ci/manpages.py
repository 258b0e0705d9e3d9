"""Write the man pages from the command tree and the sources in `man/`.

A section that the program knows (OPTIONS, JSON OUTPUT, EXIT STATUS, ENVIRONMENT, FILES) is written from it, and the source's
section of that name is added. The items of EXIT STATUS in a source say what a code means for that command.
"""

import re
from collections.abc import Iterable

from command_tree import Argument, Node, Option, common, nodes
from documents import described
from facts import describe_code, has_option, list_codes, list_files, list_variables
from roff import bold, code, escaped, filled, inline, item, paragraph, sentence, write_blocks
from sources import TOPIC, Source, read_source, source_names, topics

from spcli import __version__
from spcli.errors import EXIT_CODES
from spcli.output.markdown import Block, parse_markdown
from spcli.sandbox import faults

ENDS = "The command ends with one of these codes. Unless noted, retrying gives the same result."
FAULTS = (
    "`--fault` takes ENDPOINT:KIND for the first call of that endpoint, ENDPOINT:KINDx3 for the first three, and ENDPOINT:KINDx* "
    "for all of them."
)
HANDED_ON = (
    "- `GITHUB_ACTIONS`, `TF_BUILD`, `TEAMCITY_VERSION`: Set by the CI system. Later steps then get the build's id, project, "
    "state and share URL; in GitHub Actions through the files that `GITHUB_OUTPUT` and `GITHUB_STEP_SUMMARY` name."
)
DATE = "2026-11-28"
CONFIG_PAGE = "spcli-config.5"
"""The topic `config` as a page of section 5, where the formats of files are looked up."""
COMMON_PAGES = {"spcli-topic-exit-codes(7)", "spcli-config(5)"}


def pages() -> dict[str, str]:
    """Return every page: file name and text."""
    tree = nodes()
    found = {f"{_page_name(node)}.1": _command_page(node, tree) for node in tree}
    found |= {f"{TOPIC}{topic}.7": _topic_page(f"{TOPIC}{topic}.7", title) for topic, title in topics().items()}
    found[CONFIG_PAGE] = _topic_page(f"{TOPIC}config.7", "settings of spcli: the config file and the environment", CONFIG_PAGE)
    unused = set(source_names()) - set(found)
    if unused:
        raise SystemExit(f"man: no such command or topic: {', '.join(sorted(unused))}")
    for name, text in found.items():
        unknown = {page for page in _references_in(text) if page not in found}
        if unknown:
            raise SystemExit(f"man/{name}: no such page: {', '.join(sorted(unknown))}")
    return found


def _command_page(node: Node, tree: list[Node]) -> str:
    source = read_source(f"{_page_name(node)}.1")
    own = dict(source.sections)
    # A word that stands for a command under it has that one's options, codes and documents.
    acting = next((one for one in tree if one.path == (*node.path, node.default)), node)
    sections = [
        ("NAME", filled(f"{_page_name(node)} \\- {escaped(_lower_first(node.purpose))}") + "\n"),
        ("SYNOPSIS", _synopsis(node, acting)),
        ("DESCRIPTION", write_blocks(own.pop("DESCRIPTION"))),
        ("COMMANDS", "".join(_command_item(one) for one in tree if one.path[:-1] == node.path and one.path)),
        ("ARGUMENTS", "".join(map(_argument_item, node.arguments))),
        ("OPTIONS", _options(acting)),
        ("FAULTS", _faults() if node.path == ("sandbox",) else ""),
    ]
    codes = _codes(acting, own.pop("EXIT STATUS", []))
    known = {
        "JSON OUTPUT": "".join(map(paragraph, described(" ".join(acting.path)))),
        "EXIT STATUS": codes,
        "ENVIRONMENT": _environment(acting),
        "FILES": "".join(item(f"\\fI{escaped(path)}\\fR", inline(text)) for path, text in list_files(acting).items()),
    }
    known = {name: body + write_blocks(own.pop(name, [])) for name, body in known.items()}
    examples = write_blocks(own.pop("EXAMPLES", [])) or code(_help_examples(node))
    sections += [(name, write_blocks(blocks)) for name, blocks in own.items()]
    sections += [*known.items(), ("EXAMPLES", examples), ("SEE ALSO", _see_also(node, tree, source))]
    return _head(_page_name(node), 1) + "".join(_section(name, body) for name, body in sections if body)


def _topic_page(source_name: str, purpose: str, page: str = "") -> str:
    """Return a topic's page; `page` is its own name where that is not the source's."""
    name, section = (page or source_name).rsplit(".", 1)
    source = read_source(source_name)
    sections = [("NAME", filled(f"{escaped(name)} \\- {escaped(_lower_first(purpose))}") + "\n")]
    sections += [(title, write_blocks(blocks)) for title, blocks in source.sections.items()]
    see = [one for one in source.see if one != f"{name}({section})"]
    sections.append(("SEE ALSO", _references(see)))
    return _head(name, int(section)) + "".join(_section(title, body) for title, body in sections if body)


def _codes(node: Node, blocks: list[Block]) -> str:
    own = {int(block.term.strip("`")): block.text for block in blocks if block.kind == "item"}
    wanted = list_codes(node) | set(own)
    rows = (
        item(bold(str(row.code)), inline(describe_code(node, row, own.get(row.code, ""))))
        for row in EXIT_CODES
        if row.code in wanted
    )
    return filled(inline(ENDS)) + "\n" + "".join(rows)


def _environment(node: Node) -> str:
    items = "".join(item(", ".join(map(bold, spec.environment)), sentence(spec.description)) for spec in list_variables(node))
    return items + (write_blocks(parse_markdown(HANDED_ON)) if has_option(node, "--output-file") else "")


def _faults() -> str:
    """Return the program's own table of faults."""
    endpoints, kinds = (
        "".join(item(bold(name), sentence(what)) for name, what in table.items()) for table in (faults.ENDPOINTS, faults.KINDS)
    )
    return paragraph(FAULTS) + paragraph("Endpoints:") + endpoints + paragraph("Kinds:") + kinds


def _head(name: str, section: int) -> str:
    title = escaped(name.upper())
    return f'.TH "{title}" "{section}" "{DATE}" "spcli {__version__}" "spcli manual"\n.ad l\n'


def _section(name: str, body: str) -> str:
    return f".SH {escaped(name)}\n.nh\n{body.removeprefix('.PP' + chr(10))}"


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
    return f".TP\n.BR {escaped(_page_name(node))} (1)\n{escaped(node.purpose)}\n"


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
    return own + ".PP\n" + filled(f"Every command also takes {names}; see {bold('spcli')}(1).") + "\n"


def _see_also(node: Node, tree: list[Node], source: Source) -> str:
    near = [_page_name(one) for one in tree if one.path[:-1] == node.path[:-1] and len(node.path) > 1 and one is not node]
    below = [_page_name(one) for one in tree if one.path[:-1] == node.path and one.path]
    above = [_page_name(one) for one in tree if one.path == node.path[:-1] and node.path]
    wanted = {f"{name}(1)" for name in (*above, *below, *near)} | set(source.see) | COMMON_PAGES
    return _references(sorted(wanted - {f"{_page_name(node)}(1)"}, key=lambda page: (page[-2], page)))


def _references(names: Iterable[str]) -> str:
    return " ,\n".join(f".BR {escaped(page[:-3])} {page[-3:]}" for page in names) + "\n"


def _references_in(text: str) -> set[str]:
    """Return the pages that SEE ALSO names, as file names."""
    found = re.findall(r"^\.BR (\S+) \((\d)\)", text.rpartition(".SH SEE ALSO")[2], re.MULTILINE)
    return {f"{name.replace(chr(92), '')}.{section}" for name, section in found}


def _page_name(node: Node) -> str:
    return "-".join(("spcli", *node.path))


def _help_examples(node: Node) -> str:
    """Return the examples of the command's help text."""
    blocks = [block for block in node.about.strip().split("\n\n") if block.startswith("\b")]
    lines = [line for block in blocks for line in block.splitlines()[1:]]
    return "\n".join(line.removeprefix("  ") for line in lines)


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:].rstrip(".")
