"""Pages as blocks, and blocks as plain text."""

from hypothesis import given
from hypothesis import strategies as st

from spcli.output.markdown import Block, parse_markdown, render_plain

PAGE = """# Title

First paragraph
over two lines.

## Part

- `a`, `b`: Meaning
  of both.
- **49 rate-limited**: Wait.
- no term: just text

```yaml
key: value

  # kept as it is
```
After it.
"""


def test_a_page_is_read_as_blocks() -> None:
    assert parse_markdown(PAGE) == [
        Block("title", "Title"),
        Block("paragraph", "First paragraph over two lines."),
        Block("heading", "Part"),
        Block("item", "Meaning of both.", "`a`, `b`"),
        Block("item", "Wait.", "**49 rate-limited**"),
        Block("item", "no term: just text"),
        Block("code", "key: value\n\n  # kept as it is", "yaml"),
        Block("paragraph", "After it."),
    ]


def test_terms_are_beside_their_meaning_where_there_is_room() -> None:
    blocks = parse_markdown("- `key`: A meaning that takes more than a single line on a screen of sixty columns.\n")
    assert render_plain(blocks, 60).splitlines() == [
        "  key  A meaning that takes more than a single line on a",
        "       screen of sixty columns.",
    ]
    assert render_plain(blocks, 30).splitlines()[:2] == ["  key", "      A meaning that takes"]


def test_code_is_never_folded_and_short_commands_are_not_broken() -> None:
    line = "spcli upload https://builds.example.com/Game.zip --wait"
    assert f"    {line}\n" in render_plain([Block("code", line)], 30)
    text = render_plain(parse_markdown("Some words to fill the line, then `spcli builds wait` follows."), 40)
    assert "`spcli builds wait`" in text


@given(st.text(alphabet="ab -`*#\n.:", max_size=200), st.integers(min_value=20, max_value=120))
def test_any_text_is_rendered_within_the_width(text: str, columns: int) -> None:
    lines = render_plain(parse_markdown(text), columns).splitlines()
    longest = max((len(word) for word in text.split()), default=0)
    assert all(len(line) <= max(columns, longest + 8, 28) or line.startswith("    ") for line in lines)
