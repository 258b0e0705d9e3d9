"""Redaction: the one place that decides which parts of a text are secret.

Redacted are, in every text that is shown or stored:

* registered secrets: the API key, the token of a webhook receiver, and the query of every URL given on the command line;
* the value after the name of a credential, such as `X-Amz-Signature=`, in any URL.

Redaction comes before every cut, so that no part of a secret is left at the end of a shortened text. Examples, with the key
`k3y/a+b:0123456789` registered (`tests/unit/test_redact.py` runs them):

    text                                         redacted                                      rule
    unknown key k3y/a+b:0123456789               unknown key ****                              a registered secret
    k=k3y%2Fa%2Bb%3A0123456789&x                 k=****&x                                      percent-encoded
    {"k": "k3y\\/a+b:0123456789"}                 {"k": "****"}                                 as JSON writes it
    key k3y/a+b:0123… is unknown                 key ****… is unknown                          its first 12 characters or more
    k3y/a+b is short                             k3y/a+b is short                              fewer characters say too little
    GET /G.zip?X-Amz-Date=1&X-Amz-Signature=5ec4 GET /G.zip?X-Amz-Date=1&X-Amz-Signature=****  the name of a credential
    {"apiKey": "5ec4                             {"apiKey": "****                              the same in JSON, cut by a server
    a%3Fsig%3D5ec4%26x%3D1                       a%3Fsig%3D****%26x%3D1                        the same, percent-encoded
    export STREAMPIXEL_API_KEY=…                 export STREAMPIXEL_API_KEY=…                  a placeholder
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from spcli.models import Secret

MASK = "****"
LEAST_SECRET = 4
"""Characters. Stars in place of every "a" hide nothing and destroy the text."""
LEAST_START = 12
LEAST_KEY = 12
"""Characters of a key that is looked for in data: a shorter one may be an ordinary word of it."""
LEAST_VALUE = 16
"""Characters of a value in a URL's query that may be a signature or a credential."""

# Fields of a presigned query that hold times, algorithms and headers: their values occur in other texts as well.
_NOT_SECRET = r"(?i)x-(?:amz|goog)-(?:algorithm|date|signedheaders)|response-.*|rsc.|st|se"
# The patterns are kept as text: most commands need none of them, and compiling takes longer than writing.
_CREDENTIAL = (
    r"(?i)((?:signature|credential|token|secret|passw(?:or)?d|api_?key|accesskeyid|\bsig|3fsig|26sig)"
    r"(?:=|%3d|\\?[\"']\s{0,4}:\s{0,4}\\?[\"']))"
    r"(?:(?!%26)[^\s&\"'<>\\…$*])+"
)
_REST_OF_WORD = r"[\w%+/=:~-]*"


class Redactor:
    """Knows the registered secrets and replaces what is secret by stars."""

    def __init__(self) -> None:
        # As keys, so that a URL with thousands of parameters is registered at once; the order is kept.
        self._spellings: dict[str, None] = {}
        self._starts: list[str] = []

    def register(self, secret: "Secret") -> None:
        """Redact `secret` from now on, in every spelling, and its start where something has cut it."""
        spellings = spell_secret(secret.reveal())
        self._spellings.update(dict.fromkeys(spellings))
        starts = {one[:LEAST_START] for one in spellings if len(one) > LEAST_START and "=" not in one[:LEAST_START]}
        self._starts += starts.difference(self._starts)

    def register_url(self, url: str) -> None:
        """Redact the query of `url`: as a whole, each pair, and each value that may be a signature; as written and decoded."""
        query = url.partition("#")[0].partition("?")[2]
        pairs = [pair for pair in query.split("&") if pair]
        pairs += [unquote(pair) for pair in pairs]
        named = [pair.partition("=") for pair in pairs]
        values = [value for name, _, value in named if len(value) >= LEAST_VALUE and not re.fullmatch(_NOT_SECRET, name)]
        for text in (query, *pairs):
            self._spellings.update(dict.fromkeys(spell_secret(text)))
        for value in values:
            from spcli.models import Secret  # not at the top: help does not need the models

            self.register(Secret(value))

    def redact(self, text: str) -> str:
        """Return `text` without registered secrets and without the values of credentials."""
        text = self.redact_data(text)
        return re.sub(_CREDENTIAL, rf"\1{MASK}", text) if _may_name_credential(text) else text

    def redact_data(self, text: str) -> str:
        """Return `text` without registered secrets; for data that must otherwise stay as it is."""
        for spelling in self._spellings:
            text = text.replace(spelling, MASK)
        for start in self._starts:
            if start in text:
                text = re.sub(re.escape(start) + _REST_OF_WORD, MASK, text)
        return text

    def is_clean(self, text: str) -> bool:
        """Return whether `redact` would leave `text` alone; one look at a whole table spares a look at each cell."""
        return not _may_name_credential(text) and not any(trace in text for trace in self.traces())

    def traces(self) -> tuple[str, ...]:
        """Return the texts of which `redact_data` replaces at least one, if it replaces anything."""
        return (*self._spellings, *self._starts)


def _may_name_credential(text: str) -> bool:
    return "=" in text or "%3" in text or '":' in text or '" :' in text


def spell_secret(secret: str) -> Sequence[str]:
    """Return every way in which servers write a secret: raw, percent-encoded, escaped in JSON or HTML; the longest first."""
    if len(secret) < LEAST_SECRET:
        return ()
    if secret.isascii() and secret.isalnum():
        return (secret,)
    # Not at the top: most commands have no such secret.
    from html import escape
    from json import dumps

    raw = secret.encode("utf-8", "surrogatepass")
    encoded = [quote(raw, safe=""), quote(raw), quote_plus(raw)]
    lowered = [re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), text) for text in encoded]
    escaped = [dumps(secret)[1:-1], dumps(secret, ensure_ascii=False)[1:-1]]
    escaped += [text.replace("/", "\\/") for text in escaped]
    return sorted({secret, escape(secret), *encoded, *lowered, *escaped}, key=len, reverse=True)


def redact_key(body: bytes, key: "Secret") -> bytes:
    """Return the body of an answer without the key, as it may be parsed and stored."""
    text = key.reveal()
    # No encoding changes letters and digits: where the longest run of them is missing, so is the key.
    run = max(re.findall("[0-9A-Za-z]+", text), key=len, default="").encode()
    if len(text) < LEAST_KEY or run not in body:
        return body
    whole = body.decode("utf-8", "surrogateescape")
    for spelling in spell_secret(text):
        whole = whole.replace(spelling, MASK)
    return whole.encode("utf-8", "surrogateescape")
