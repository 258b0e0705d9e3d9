"""What a build's URL keeps secret."""

from spcli.check.url import secrets_in

URL = "https://b.s3.amazonaws.com/Game.zip?X-Amz-Expires=3600&X-Amz-Signature=5ec4e75ec4e75ec4e7#part"


def test_the_query_its_pairs_and_its_long_values_are_secret() -> None:
    assert [secret.reveal() for secret in secrets_in(URL)] == [
        "X-Amz-Expires=3600&X-Amz-Signature=5ec4e75ec4e75ec4e7",
        "X-Amz-Expires=3600",
        "X-Amz-Signature=5ec4e75ec4e75ec4e7",
        "5ec4e75ec4e75ec4e7",
    ]


def test_a_url_without_a_query_keeps_nothing() -> None:
    assert secrets_in("https://host/Game.zip") == []


def test_a_signature_is_secret_as_it_stands_there_and_decoded() -> None:
    secrets = [secret.reveal() for secret in secrets_in("https://h/G.zip?Signature=5ec4%2F75ec4e75ec4%3D")]
    assert {"5ec4%2F75ec4e75ec4%3D", "5ec4/75ec4e75ec4="} < set(secrets)
