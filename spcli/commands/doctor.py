"""`spcli doctor`: config, credentials, network, clock, state: what is wrong and what to type."""

import os
import sys
from typing import TYPE_CHECKING

import typer

from spcli import __version__
from spcli.commands import doctor_checks as diagnosis
from spcli.commands import options
from spcli.commands.doctor_checks import OK, WARN, Check, failed
from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.lookup import match_project
from spcli.models import is_id, normalize_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spcli.runtime import Runtime
    from spcli.settings import Settings
    from spcli.transport import Transport

MOUNTS = "/proc/self/mountinfo"


def doctor(ctx: typer.Context, timeout: options.Timeout = None) -> None:
    """Find what is wrong with the set-up, and what to type.

    Config, credentials (verified by one read), proxy, certificates, network, clock, state folder: each is ok, warn or fail.
    The exit code is the first failure's. What depends on something that failed is left out.

    \b
      spcli doctor --json | jq -r '.checks[] | select(.level != "ok").hint'
    """
    runtime: Runtime = ctx.obj
    runtime.timeout = timeout
    found = diagnosis.diagnosis(list(_checks(runtime)))
    runtime.output.result(found, lines=[line for check in found.checks for line in _lines(check)])
    failure = diagnosis.failure_of(found)
    if failure is not None:
        raise failure


def _lines(check: Check) -> list[str]:
    hints = [] if check.hint is None else [f"                  {line}" for line in check.hint.splitlines()]
    return [f"{check.level:<4}  {check.name:<11} {check.message}", *hints]


def _checks(runtime: "Runtime") -> "Iterator[Check]":
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("version", OK, f"spcli {__version__}, Python {python}, {sys.platform}")
    try:
        settings = runtime.settings
        config = _config_check(settings)
    except SpcliError as failure:
        yield failed("config", failure)
        yield _extras_check()
        return
    yield config
    credentials = _credentials_check(runtime)
    yield credentials
    yield from _service_checks(runtime, credentials.level != diagnosis.FAIL)
    yield from _state_checks(runtime)
    yield _extras_check()


def _config_check(settings: "Settings") -> Check:
    """The file was read, and what it sets can be used; whether others may read it counts once a key is in it.

    Raises:
        SpcliError: `config`.
    """
    path, profile = settings.config_path, settings.profile
    for key in ("project", "on_limit"):
        settings.value(key)
    if not path.exists():
        return Check("config", OK, f"{path} does not exist; profile {profile}")
    if settings.config.get(profile, "api_key") is not None:
        settings.config.check_private(readable=True)
    if sys.platform == "win32":
        return Check("config", OK, f"{path}, profile {profile}")
    mode = path.stat().st_mode & 0o777
    return Check("config", OK, f"{path}, mode {mode:04o}, profile {profile}")


def _credentials_check(runtime: "Runtime") -> Check:
    """User id and key are there, and belong to the service in force; the sources are named, the key is not shown."""
    settings = runtime.settings
    try:
        user_id, key = settings.require_credentials()
    except SpcliError as failure:
        return failed("credentials", failure)
    runtime.output.redactor.register(key)
    sources = {value.key: value.source for value in map(settings.value, ("user_id", "api_key"))}
    return Check("credentials", OK, f"user id {user_id} ({sources['user_id']}), API key set ({sources['api_key']})")


def _service_checks(runtime: "Runtime", has_credentials: bool) -> "Iterator[Check]":
    try:
        base = runtime.settings.value("base_url")
        runtime.settings.value("window")
    except SpcliError as failure:
        yield failed("base-url", failure)
        return
    yield Check("base-url", OK, f"{base.value} ({base.source})")
    trust = [_proxy_check(runtime), _ca_check(runtime)]
    yield from trust
    if any(check.level == diagnosis.FAIL for check in trust):
        return
    transport, refused = _reach(runtime, has_credentials)
    try:
        found = list(_network_checks(runtime, transport, refused))
        yield from found
        if has_credentials and found and all(check.level != diagnosis.FAIL for check in found):
            yield from _access_checks(runtime)
    finally:
        if not has_credentials:
            transport.close()


def _proxy_check(runtime: "Runtime") -> Check:
    from spcli.transport.proxies import proxy_for
    from spcli.transport.request import parse_origin

    origin = parse_origin(runtime.settings.base_url)
    try:
        proxy = proxy_for(origin.scheme, origin.host, origin.port, runtime.environ)
    except SpcliError as failure:
        return failed("proxy", failure)
    if proxy is None:
        return Check("proxy", OK, "none for this service: it is reached directly")
    return Check("proxy", OK, f"through {proxy.host}:{proxy.port} ({proxy.variable})")


def _ca_check(runtime: "Runtime") -> Check:
    """The certificates that are trusted; nothing is loaded where the service is reached without TLS."""
    environ = runtime.environ
    if runtime.settings.base_url.startswith("http://"):
        return Check("ca", OK, "not needed: the service is on this machine, without TLS")
    from spcli.transport.tls import tls_context

    try:
        tls_context(environ)
    except SpcliError as failure:
        return failed("ca", failure)
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if environ.get(name)), None)
    named = "the system's certificates" if variable is None else f"{variable} is set to {environ[variable]}"
    return diagnosis.variables_check(environ) or Check("ca", OK, named)


def _reach(runtime: "Runtime", has_credentials: bool) -> "tuple[Transport, SpcliError | None]":
    """One call to the service, without credentials: any answer at all shows that it is there."""
    from spcli.transport import Call, Transport

    transport = runtime.api.transport if has_credentials else None
    if transport is None:
        log = runtime.output.detail if runtime.output.verbose else None
        transport = Transport(runtime.settings.base_url, clock=runtime.clock, environ=runtime.environ, log=log)
    deadline = runtime.clock.mono() + min(runtime.timeout or 10.0, 10.0)
    try:
        transport.send(Call("GET", "/projects"), deadline=deadline)
    except SpcliError as failure:
        return transport, failure
    return transport, None


def _network_checks(runtime: "Runtime", transport: "Transport", failure: SpcliError | None) -> "Iterator[Check]":
    is_answer = failure is None or (isinstance(failure, Refused) and (failure.status or 0) >= 400)
    reached = transport.connection_facts
    if failure is not None and (not is_answer or reached is None):
        yield failed(
            "network", failure, "is the base URL right? `spcli config get base_url`; does a firewall or VPN stand between?"
        )
        return
    if reached is None:
        return
    base_url, now = runtime.settings.base_url, runtime.clock.wall()
    yield diagnosis.network_check(base_url, reached.address, reached.tls_version, reached.certificate, now)
    skew = None if reached.server_wall is None else now - reached.server_wall
    yield diagnosis.clock_check(skew, sys.platform)


def _access_checks(runtime: "Runtime") -> "Iterator[Check]":
    """Whether the service takes the credentials, and which generation of it answers."""
    try:
        path = runtime.api.check_credentials()
    except (NotSent, Refused, Unclear, SpcliError) as failure:
        yield failed("access", failure, _access_hint(failure))
        return
    yield Check("access", OK, "the service takes the credentials")
    try:
        has_builds = _has_builds(runtime)
    except SpcliError as failure:
        if failure.kind == "no-target":
            yield failed("project", failure)
            return
        yield Check("api", WARN, f"GET {path} answers, but a project could not be read: {failure.message}", failure.hint)
        return
    yield diagnosis.api_check(path, has_builds)


def _access_hint(failure: SpcliError) -> str:
    if failure.status in (401, 403):
        return "spcli auth login  (a key that was requested again ends the one before)"
    return "spcli config get base_url" if failure.status in (404, 405) else "try again in a minute"


def _has_builds(runtime: "Runtime") -> bool | None:
    """Whether the project in force, or the account's first, tells its builds; `None` without a project.

    Raises:
        SpcliError: `no-target` when the account has none of that name; what reading raises.
    """
    named = runtime.settings.project
    if named is not None and is_id(named.strip()):
        return runtime.api.project(normalize_id(named)).builds is not None
    projects = runtime.api.projects()
    if not projects and named is None:
        return None
    chosen = projects[0] if named is None else match_project(projects, named.strip())
    return runtime.api.project(chosen.id).builds is not None


def _state_checks(runtime: "Runtime") -> "Iterator[Check]":
    wanted = runtime.settings.state_dir
    try:
        path = runtime.state.probe()
    except SpcliError as failure:
        yield failed("state", failure)
        return
    if path.parent != wanted:
        from spcli.state.place import state_hint

        yield Check("state", WARN, f"{wanted} cannot be used; windows and ledger are in {path.parent} for now", state_hint())
    else:
        yield Check("state", OK, f"{path} can be written")
    yield diagnosis.filesystem_check(os.path.realpath(path.parent), _mountinfo())


def _mountinfo() -> str | None:
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def _extras_check() -> Check:
    from importlib.util import find_spec

    return diagnosis.extras_check([name for name in ("starlette", "uvicorn") if find_spec(name) is None])
