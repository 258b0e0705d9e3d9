"""The account: its stored hashes, and which spellings are one account."""

import hashlib

import pytest

from spcli.state.account import Account, normalize_origin

SERVICE = "https://api.streampixel.io/pixelStripeApi"
USER = "64f0c0ffee64f0c0ffee64f0"


def hashed(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def test_stored_hashes_are_those_of_the_first_version() -> None:
    account = Account(SERVICE, USER)
    assert account.user == hashed(SERVICE, USER)
    assert account.bucket("upload") == hashed(SERVICE, USER, "upload")


def test_buckets_of_services_users_and_endpoints_differ() -> None:
    words = (("a", "b", "c"), ("ab", "", "c"), ("a", "b", "d"), ("a", "x", "c"), ("a", "\ud800", "c"))
    assert len({Account(url, user).bucket(endpoint) for url, user, endpoint in words}) == 5


@pytest.mark.parametrize("user", [USER.upper(), f" {USER}\n", USER.title()])
def test_user_id_in_another_letter_case_is_the_same_account(user: str) -> None:
    assert Account(SERVICE, user) == Account(SERVICE, USER)
    assert Account(SERVICE, user).bucket("upload") == Account(SERVICE, USER).bucket("upload")


@pytest.mark.parametrize("rest", ["", ":8787", ":8787/api", "/api:1/x"])
@pytest.mark.parametrize("host", ["localhost", "[::1]", "127.0.0.1"])
def test_names_of_this_machine_are_one_origin(host: str, rest: str) -> None:
    assert normalize_origin(f"http://{host}{rest}") == f"http://127.0.0.1{rest}"


@pytest.mark.parametrize(
    "url", [SERVICE, "https://localhost.example.com", "http://127.0.0.2:8787/api", "https://[2001:db8::1]/x"]
)
def test_other_hosts_stay_as_they_are(url: str) -> None:
    assert normalize_origin(url) == url


def test_account_does_not_show_the_user_id() -> None:
    assert USER not in repr(Account(SERVICE, USER))
