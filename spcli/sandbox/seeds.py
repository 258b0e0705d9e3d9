"""The accounts, projects and build history a world starts with: constants of its seed.

`MAIN` and `OTHER` are those of seed 1, the default. All dates are in 2023, so that every build registered later is newer.
"""

from typing import NamedTuple

from spcli.sandbox.builds import LONG_AGO, Build

_START = 1_690_000_000
_DAY = 86_400


class Project(NamedTuple):
    """One project; `region` is spelt as the service spells it that day, `live` and `queued` count viewers."""

    id: str
    name: str
    region: str
    active: bool
    created: float
    live: int
    queued: int
    custom_domain: str


class Account(NamedTuple):
    """One account with its API key; a key reaches the account's own projects only."""

    label: str
    user_id: str
    api_key: str
    projects: tuple[Project, ...]


class _Plan(NamedTuple):
    name: str
    region: str
    active: bool = True
    live: int = 0
    queued: int = 0
    custom_domain: str = ""


_MAIN_PROJECTS = (
    _Plan("Showroom Demo", "US-East-1", live=7, queued=2, custom_domain="showroom.example.com"),
    _Plan("Configurator EU", "Europe", live=12),
    _Plan("Configurator APAC", "asia-pacific"),
    _Plan("東京ショールーム", "Asia-Pacific", live=3),
    _Plan("Trade Fair 2023", "us-east-1", active=False),
)
_OTHER_PROJECTS = (_Plan("Solo Viewer", "eu-west-1", live=1),)

# Index of the project, file, whether it was rejected; oldest first. Configurator APAC has none.
_HISTORY = (
    (0, "Showroom-1.0.0.zip", False),
    (1, "Configurator-2.3.zip?X-Amz-Expires=3600&X-Amz-Signature=5a11dbad", False),
    (3, "%E6%9D%B1%E4%BA%AC-1.0.zip", False),
    (0, "Showroom-1.1.0-source.zip", True),
    (1, "Configurator-2.4.zip", False),
    (4, "TradeFair.zip", False),
    (0, "Showroom-1.1.0.zip", False),
    (5, "Solo-broken.zip", True),
    (5, "Solo-1.zip", False),
)


def object_id(seed: int, when: float, serial: int) -> str:
    """Return an ID as MongoDB makes it: 8 hex digits of Unix time, 10 of the machine (here: the seed), 6 of a counter."""
    return f"{int(when) & 0xFFFFFFFF:08x}{_hex_digest(f'machine {seed}')[:10]}{serial & 0xFFFFFF:06x}"


def accounts(seed: int) -> tuple[Account, Account]:
    """Return the main account, with five projects, and another one with exactly one."""
    first = len(_MAIN_PROJECTS)
    main = Account("main", object_id(seed, _START, 1), _api_key(seed, "main"), _make_projects(seed, _MAIN_PROJECTS, first=0))
    other = Account(
        "other", object_id(seed, _START, 2), _api_key(seed, "other"), _make_projects(seed, _OTHER_PROJECTS, first=first)
    )
    return main, other


def history(seed: int) -> list[Build]:
    """Return the finished builds of the seed's projects, oldest first."""
    projects = [project for account in accounts(seed) for project in account.projects]
    builds = []
    for serial, (place, file, rejected) in enumerate(_HISTORY, start=1):
        created = _START + (10 + serial) * _DAY
        url = f"https://builds.example.com/{file}"
        build = Build(object_id(seed, created, 0x200 + serial), projects[place].id, url=url, created=created)
        build.began, build.rejected = LONG_AGO, rejected
        builds.append(build)
    return builds


def _make_projects(seed: int, plans: tuple[_Plan, ...], *, first: int) -> tuple[Project, ...]:
    return tuple(_make_project(seed, plan, first + place) for place, plan in enumerate(plans))


def _make_project(seed: int, plan: _Plan, place: int) -> Project:
    created = _START + place * _DAY
    shape = (plan.name, plan.region, plan.active, created, plan.live, plan.queued, plan.custom_domain)
    return Project(object_id(seed, created, 0x100 + place), *shape)


def _api_key(seed: int, label: str) -> str:
    return f"sandbox-{label}-{_hex_digest(f'key {seed} {label}')[:32]}"


def _hex_digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()


MAIN, OTHER = accounts(1)
SHOWROOM, CONFIGURATOR_EU, CONFIGURATOR_APAC, TOKYO, INACTIVE = MAIN.projects
SOLO = OTHER.projects[0]
_NAMED = {build.url.rpartition("/")[2]: build.id for build in history(1)}
SHOWROOM_OLD = _NAMED["Showroom-1.0.0.zip"]
SHOWROOM_REJECTED = _NAMED["Showroom-1.1.0-source.zip"]
SHOWROOM_NEW = _NAMED["Showroom-1.1.0.zip"]
SOLO_NEW = _NAMED["Solo-1.zip"]
