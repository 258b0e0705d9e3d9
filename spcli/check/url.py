"""Pure: what may be sent as `fileUrl`.

The service downloads the build from a direct link; see https://docs.streampixel.io, upload-file. Presigned links carry a query,
which an older page forbids and the newest one uses: that is a note, not an error.
"""

import re
from urllib.parse import unquote, urlsplit

from spcli.errors import SpcliError
from spcli.models import Secret, bare_url

SIGNATURE_LENGTH = 16
# Fields of a presigned query that hold times, algorithms and headers: their values stand in other texts, too.
_TELLING_NOTHING = r"(?i)x-(?:amz|goog)-(?:algorithm|date|signedheaders)|response-.*|rsc.|st|se"
HOW_TO_GET_ONE = (
    "Streampixel takes a URL: put the zip on S3, GCS, Azure or any web server and pass its direct https link "
    "(for S3: aws s3 presign s3://BUCKET/Game.zip --expires-in 43200)"
)


def notes_on(url: str) -> list[str]:
    """What may go wrong with `url` though it can be sent.

    Raises:
        SpcliError: `usage`, for what cannot be a direct link; the text never repeats the URL, which may hold a password.
    """
    _check_characters(url)
    if "://" not in url:
        if is_host(url.partition("/")[0]) and "/" in url:
            raise _unfit("that is no URL: https:// is missing in front of it", f"did you mean https://{bare_url(url)}?")
        raise _unfit("that is no http(s) URL" if _is_bare_word(url) else "that is a local file, not a URL", HOW_TO_GET_ONE)
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise _unfit("the URL's host or port cannot be read", HOW_TO_GET_ONE) from None
    if parts.scheme.lower() not in ("http", "https"):
        raise _unfit("the URL must begin with https:// or http://", HOW_TO_GET_ONE)
    if not host:
        raise _unfit("the URL has no host", HOW_TO_GET_ONE)
    if "@" in parts.netloc:
        raise _unfit("the URL holds a user or password", "the service cannot log in: use a public or presigned link")
    return _doubts(parts.scheme.lower(), parts.path, parts.query)


def _check_characters(url: str) -> None:
    for position, character in enumerate(url, 1):
        if character.isspace() or not character.isprintable():
            raise _unfit(f"the URL has a space or control character at position {position}", "write a space in a URL as %20")
    if not url:
        raise _unfit("the URL is empty", HOW_TO_GET_ONE)


def is_host(text: str) -> bool:
    """Whether `text` reads as the name of a host: labels with dots between, the last of them letters, and no zip."""
    labels = text.lower().partition(":")[0].split(".")
    plain = all(label and label.replace("-", "").isalnum() and label.isascii() for label in labels)
    return plain and len(labels) > 1 and labels[-1].isalpha() and labels[-1] != "zip"


def _is_bare_word(text: str) -> bool:
    return not any(mark in text for mark in ("/", "\\", ".", ":", "~"))


def _doubts(scheme: str, path: str, query: str) -> list[str]:
    doubts = []
    if not path.lower().endswith(".zip"):
        doubts.append("the URL's path does not end in .zip: Streampixel takes zip files only")
    if query:
        doubts.append("the URL has a query: a presigned link must stay valid until the download starts, which can take an hour")
    if scheme == "http":
        doubts.append("the URL is http: anybody on the way can read or change the build")
    return doubts


def _unfit(message: str, hint: str) -> SpcliError:
    return SpcliError("usage", message, hint=hint, outcome="not_sent")


def secrets_in(url: str) -> list[Secret]:
    """What a presigned URL keeps in its query: a server that quotes the URL in a message must not spread it.

    The query as a whole, its pairs, and the values long enough to be a signature or a credential; as they stand there and, as S3
    quotes them, decoded.
    """
    query = url.partition("#")[0].partition("?")[2]
    pairs = [pair for pair in query.split("&") if pair]
    pairs += [unquote(pair) for pair in pairs]
    named = [pair.partition("=") for pair in pairs]
    values = [value for name, _, value in named if len(value) >= SIGNATURE_LENGTH and not re.fullmatch(_TELLING_NOTHING, name)]
    return [Secret(text) for text in dict.fromkeys((query, *pairs, *values)) if text]
