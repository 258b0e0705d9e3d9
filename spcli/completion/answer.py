"""Answer a TAB press from the command tree, before Typer is loaded.

The scripts of the shells ask with `_SPCLI_COMPLETE=complete_SHELL`, `COMP_WORDS` (the words up to the cursor, one per line; from
bash the raw line) and `COMP_CWORD`. The first line of the answer says what the other lines are: `words`, `files`, or `nothing`
and a note. Nothing here asks the network; only the names of projects, builds and profiles import more than this folder's tables.
"""

from spcli.completion.tree import CHOICES, COMMANDS, COMMON, OPTIONS

TYPE_CHECKING = False  # importing it from typing would cost more than the rest of a TAB press
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Offer = tuple[str, str]

SHELLS = ("bash", "zsh", "fish", "powershell")
LIVE = ("project", "project-id", "upload", "profile")
_SETTING_KINDS = {"project": "project", "default_profile": "profile", "on_limit": "wait|fail"}
_LISTING = "63"  # bash's COMP_TYPE for the second TAB, which lists and inserts nothing
# Single quotes to PowerShell; inside one of its own, each is doubled.
_POWERSHELL_QUOTES = "'\u2018\u2019\u201a\u201b"


class Line:
    """The words typed up to the cursor; the last one, which may be empty, is the one to complete.

    `kept` is the number of its characters before the part that bash replaces, `quote` its open quote.
    """

    __slots__ = ("kept", "quote", "words")

    def __init__(self, words: "list[str]", kept: int = 0, quote: str = "") -> None:
        self.words = words
        self.kept = kept
        self.quote = quote


class Place:
    """The place of the cursor: the command, its arguments and options so far."""

    __slots__ = ("arguments", "command", "is_lost", "only_arguments", "pending", "used", "values")

    def __init__(self) -> None:
        self.command = ""
        self.arguments: list[str] = []
        self.used: set[str] = set()
        self.values: dict[str, str] = {}
        self.pending = ""
        self.only_arguments = self.is_lost = False

    def add_word(self, word: str) -> None:
        """Add one finished word."""
        if self.pending:
            self.values[self.pending], self.pending = word, ""
        elif word == "--" and not self.only_arguments:
            self.only_arguments = True
        elif word.startswith("-") and len(word) > 1 and not self.only_arguments:
            self._add_option(word)
        else:
            self._add_argument(word)

    def _add_argument(self, word: str) -> None:
        commands = COMMANDS[self.command][2]
        if word in commands:
            self.command = f"{self.command} {word}".lstrip()
        elif commands:
            self.is_lost = True
        else:
            self.arguments.append(word)

    def _add_option(self, word: str) -> None:
        self.enter_default(word)
        key, head, value = self.split_option(word)
        if not key:
            return
        self.used.add(key)
        if OPTIONS[key][1]:
            self.values[key] = value
            # `-p` and `--project` take their value from the next word, `-pNAME` and `--project=NAME` contain it.
            self.pending = key if head == word and not word.endswith("=") else ""

    def enter_default(self, word: str) -> None:
        """Enter the default subcommand where an option stands in the place of a subcommand."""
        default = COMMANDS[self.command][1]
        if default and word not in ("-h", "--help"):
            self.command = f"{self.command} {default}"

    def split_option(self, word: str) -> "tuple[str, str, str]":
        """Return the option's key, its spelling in the word, and the value after it; an empty key for an unknown option."""
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            return self._find_key(name), name + equals, value
        for position in range(1, len(word)):
            key = self._find_key("-" + word[position])
            if not key or OPTIONS[key][1] or position == len(word) - 1:
                return key, word[: position + 1], word[position + 1 :]
            self.used.add(key)
        return "", word, ""

    def list_options(self) -> "tuple[str, ...]":
        """Return the options of the command, the common ones included."""
        return (*COMMANDS[self.command][3], *COMMON)

    def _find_key(self, spelling: str) -> str:
        return next((key for key in self.list_options() if spelling in OPTIONS[key][0]), "")


class TabAnswer:
    """The answer to a TAB press: words, files, or nothing and a note. `head` precedes each of them in the same word."""

    __slots__ = ("head", "kind", "note", "offers")

    def __init__(self, kind: str = "nothing", offers: "Iterable[Offer]" = (), *, head: str = "", note: str = "") -> None:
        self.kind = kind
        self.offers = list(offers)
        self.head = head
        self.note = note


def answer(environ: "Mapping[str, str]") -> "str | None":
    """Return the text for the shell that asked; None if no shell asked."""
    shell = environ.get("_SPCLI_COMPLETE", "").removeprefix("complete_")
    if shell not in SHELLS:
        return None
    line = _read_line(environ, shell)
    offered = _find_offers(line.words, environ)
    if shell == "bash":
        return _format_bash(offered, line, listing=environ.get("COMP_TYPE") == _LISTING)
    return {"zsh": _format_zsh, "fish": _format_fish, "powershell": _format_powershell}[shell](offered, line.words[-1])


def _read_line(environ: "Mapping[str, str]", shell: str) -> Line:
    text, number = environ.get("COMP_WORDS", ""), environ.get("COMP_CWORD", "")
    is_raw = shell == "bash" or "\n" not in text
    line = split_line(text, environ.get("COMP_WORDBREAKS", "")) if is_raw else Line(text.split("\n"))
    # bash counts the pieces between its own word breaks: its number does not count these words.
    if "COMP_WORDBREAKS" not in environ and number.isdecimal():
        wanted = min(int(number), len(line.words))
        line.words = [*line.words, ""][: wanted + 1]
    return line


def split_line(text: str, breaks: str = "") -> Line:
    """Split a line as bash does, open quotes included; at a character of `breaks` bash begins a new part to replace."""
    words: list[str] = []
    word, quote, is_escaped, kept, opened, is_begun = "", "", False, 0, 0, False
    for letter in text:
        if is_escaped:
            word += letter if quote != '"' or letter in '$`"\\' else "\\" + letter
            is_escaped = False
        elif letter == "\\" and quote != "'":
            is_escaped = is_begun = True
        elif letter == quote:
            quote = ""
        elif quote:
            word += letter
        elif letter in "'\"":
            quote, opened, is_begun = letter, len(word), True
        elif letter in " \t\n":
            if is_begun:
                words.append(word)
            word, kept, is_begun = "", 0, False
        else:
            word, is_begun = word + letter, True
            kept = len(word) if letter in breaks else kept
    return Line([*words, word], opened if quote else kept, quote)


def _find_offers(words: "Sequence[str]", environ: "Mapping[str, str]") -> TabAnswer:
    """Return what may stand in the place of the last word, which may be half typed."""
    place, current = Place(), words[-1]
    for word in words[1:-1]:
        place.add_word(word)
    if place.is_lost:
        return TabAnswer()
    if place.pending:
        return _offer_value(place, place.pending, environ)
    if current.startswith("-") and not place.only_arguments:
        place.enter_default(current)
        key, head, _value_typed = place.split_option(current)
        if key and OPTIONS[key][1] and (head != current or current.endswith("=")):
            return _offer_value(place, key, environ, head=head)
        return TabAnswer("words", _offer_options(place))
    commands = COMMANDS[place.command][2]
    if commands:
        return TabAnswer("words", ((name, COMMANDS[f"{place.command} {name}".lstrip()][0]) for name in commands))
    return _offer_argument(place, environ)


def _offer_options(place: Place) -> "Iterable[Offer]":
    for key in place.list_options():
        spellings, _metavar, _kind, repeats, meaning = OPTIONS[key]
        if repeats or key not in place.used:
            yield from ((spelling, meaning) for spelling in reversed(spellings))


def _offer_value(place: Place, key: str, environ: "Mapping[str, str]", *, head: str = "") -> TabAnswer:
    _spellings, metavar, kind, _repeats, meaning = OPTIONS[key]
    return _offer_kind(kind, f"{metavar}: {meaning}", place, environ, head=head)


def _offer_argument(place: Place, environ: "Mapping[str, str]") -> TabAnswer:
    arguments, position = COMMANDS[place.command][4], len(place.arguments)
    if arguments and position >= len(arguments) and arguments[-1][3]:
        position = len(arguments) - 1
    if position >= len(arguments):
        return TabAnswer("nothing" if place.only_arguments else "words", () if place.only_arguments else _offer_options(place))
    metavar, kind, _required, repeats, meaning = arguments[position]
    if kind == "value":
        kind = _SETTING_KINDS.get(place.arguments[0], "") if position == len(place.arguments) else ""
    if kind == "page":
        return TabAnswer("words", _list_pages(" ".join(place.arguments)))
    answer = _offer_kind(kind, f"{metavar}: {meaning}", place, environ)
    if repeats:
        answer.offers = [offer for offer in answer.offers if offer[0] not in place.arguments]
    return answer


def _list_pages(typed: str) -> "Iterable[Offer]":
    """Yield what `spcli help` takes after the words typed: topics and commands, or the commands of a group."""
    if not typed:
        yield from CHOICES["topic"]
    topics = {name for name, _ in CHOICES["topic"]} if not typed else set()
    for name in COMMANDS.get(typed, ("", "", ()))[2]:
        if name not in topics:
            yield name, COMMANDS[f"{typed} {name}".lstrip()][0]


def _offer_kind(kind: str, note: str, place: Place, environ: "Mapping[str, str]", *, head: str = "") -> TabAnswer:
    if kind == "file":
        return TabAnswer("files", head=head)
    if kind in LIVE:
        from spcli.completion.names import live_offers

        offers: Iterable[Offer] = live_offers(kind, environ, place.values.get("profile"))
    else:
        offers = CHOICES.get(kind) or ((word, "") for word in kind.split("|") if word)
    answer = TabAnswer("words", offers, head=head, note=note)
    if not answer.offers:
        answer.kind = "nothing"
    return answer


def _filter_offers(answer: TabAnswer, current: str) -> "list[Offer]":
    """Return the offers that begin with the typed word.

    Other letter cases count only where all offers agree: bash inserts what they share.
    """
    typed = current[len(answer.head) :]
    exact = [offer for offer in answer.offers if offer[0].startswith(typed)]
    if exact:
        return exact
    similar = [offer for offer in answer.offers if offer[0][: len(typed)].casefold() == typed.casefold()]
    return similar if len({offer[0][: len(typed)] for offer in similar}) == 1 else []


def _format_bash(answer: TabAnswer, line: Line, *, listing: bool) -> str:
    fitting = _filter_offers(answer, line.words[-1])
    lines = [quote_for_bash((answer.head + word)[line.kept :], line.quote) for word, _meaning in fitting]
    # Where bash only lists, it shows the names beside the IDs.
    if listing and answer.note and len(set(lines)) > 1:
        lines = [f"{text}  ({offer[1]})" if offer[1] else text for text, offer in zip(lines, fitting, strict=True)]
    return _join_lines(f"{answer.kind} {line.quote}", lines)


def quote_for_bash(word: str, quote: str) -> str:
    """Return `word` as it is typed after an open `quote`, or with a backslash before each special character."""
    if quote == "'":
        return word.replace("'", "'\\''")
    if quote:
        escaped = "".join("\\" + letter if letter in '\\"$`' else letter for letter in word)
        return escaped.replace("!", "\"'!'\"")
    return "".join(letter if letter.isalnum() or letter in "-_./:=@%+," else "\\" + letter for letter in word)


def _format_zsh(answer: TabAnswer, _current: str) -> str:
    """Format for `_describe`, which takes `word:meaning` and quotes the word. zsh filters by the user's own rules."""
    lines = [
        word.replace("\\", "\\\\").replace(":", "\\:") + (f":{meaning}" if meaning else "") for word, meaning in answer.offers
    ]
    return _join_lines(f"{answer.kind} {len(answer.head)} {answer.note}", lines)


def _format_fish(answer: TabAnswer, _current: str) -> str:
    """Format for fish, which quotes and filters by itself."""
    return _join_lines(answer.kind, [f"{answer.head}{word}\t{meaning}" for word, meaning in answer.offers])


def _format_powershell(answer: TabAnswer, current: str) -> str:
    """Format for PowerShell: the inserted text, the listed text, and the tool tip, which must not be empty."""
    fitting = _filter_offers(answer, current)
    lines = [f"{quote_for_powershell(answer.head + word)}\t{word}\t{meaning or word}" for word, meaning in fitting]
    return _join_lines(f"{answer.kind} {len(answer.head)}", lines)


def quote_for_powershell(word: str) -> str:
    """Return `word` as one argument to PowerShell."""
    if all(letter.isalnum() or letter in "-_./:=" for letter in word):
        return word
    return "'" + "".join(letter * 2 if letter in _POWERSHELL_QUOTES else letter for letter in word) + "'"


def _join_lines(first: str, lines: "list[str]") -> str:
    return "\n".join([first.rstrip(), *lines]) + "\n"
