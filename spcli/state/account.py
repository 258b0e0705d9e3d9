"""The account that rate limits, history and names are stored for.

The service limits calls per user, and one user of one service must have one rate limit here, however the user ID or the host is
written. Only hashes are stored: of the origin and the user ID for history and names, with the endpoint for a window. For an
ordinary ID they are those of the first version, so that its database stays usable.

Light to import: completion needs it, and a TAB press has no time for `typing`, `sqlite3` or the settings.
"""

_LOOPBACK = ("localhost", "[::1]")
"""Other names of 127.0.0.1: one service must not get a rate limit for each of its names."""


class Account:
    """One user of one service. The user id is stored only hashed, and two spellings of it are one account.

    Args:
        base_url: from `settings.table.parse_base_url`: scheme and host in lower case.
        user_id: in any letter case.
    """

    __slots__ = ("_user_id", "origin", "user")

    origin: str
    user: str

    def __init__(self, base_url: str, user_id: str) -> None:
        self.origin = normalize_origin(base_url)
        self._user_id = user_id.strip().lower()
        self.user = _hash_words(self.origin, self._user_id)

    def bucket(self, endpoint: str) -> str:
        """Return the key of an endpoint's window. The API key is no part of it: a new key must not open a new window."""
        return _hash_words(self.origin, self._user_id, endpoint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and self.user == other.user

    def __hash__(self) -> int:
        return hash(self.user)

    def __repr__(self) -> str:
        return f"Account({self.origin!r}, {self.user[:8]}…)"


def normalize_origin(base_url: str) -> str:
    """Return `base_url` with 127.0.0.1 in place of the other names of this machine."""
    scheme, mark, rest = base_url.partition("://")
    host, slash, path = rest.partition("/")
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():
        name, colon, port = host, "", ""
    if name in _LOOPBACK:
        return f"{scheme}{mark}127.0.0.1{colon}{port}{slash}{path}"
    return base_url


def _hash_words(*words: str) -> str:
    from hashlib import sha256  # not at the top: 2 ms of a TAB press that may not get here

    return sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
