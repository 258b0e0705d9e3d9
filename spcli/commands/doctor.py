"""`spcli doctor`: gather the facts about config, credentials, network, clock and state; `doctor_checks` judges them."""

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer

from spcli import __version__
from spcli.commands import doctor_checks, options
from spcli.commands.doctor_checks import FAIL, OK, WARN, Check, failed_check
from spcli.errors import Refused, SpcliError
from spcli.lookup import match_project, parse_project_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spcli.runtime import Runtime
    from spcli.settings import Settings
    from spcli.settings.credentials import KeyShape
    from spcli.transport import Transport

MOUNTS = "/proc/self/mountinfo"


def doctor(ctx: typer.Context, timeout: options.Timeout = None) -> None:
    """Check the setup, and suggest fixes.

    Checks the config, the credentials (with one read), proxy, certificates, network, clock and state folder. Each is ok, warn or
    fail. Checks that depend on a failed one are skipped. The exit code is that of the first failure.

    \b
      spcli doctor --json | jq -r '.checks[] | select(.level != "ok").hint'
    """
    runtime: Runtime = ctx.obj
    runtime.timeout = timeout
    diagnosis = doctor_checks.diagnose(list(_run_checks(runtime)))
    runtime.output.result(diagnosis, lines=[line for check in diagnosis.checks for line in _check_lines(check)])
    failure = doctor_checks.first_failure(diagnosis)
    if failure is not None:
        raise failure


def _check_lines(check: Check) -> list[str]:
    hints = [] if check.hint is None else [f"                  {line}" for line in check.hint.splitlines()]
    return [f"{check.level:<4}  {check.name:<11} {check.message}", *hints]


def _run_checks(runtime: "Runtime") -> "Iterator[Check]":
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("version", OK, f"spcli {__version__}, Python {python}, {sys.platform}")
    try:
        settings = runtime.settings
        config = _config_check(settings)
    except SpcliError as failure:
        yield failed_check("config", failure)
        yield _extras_check()
        return
    yield config
    credentials = _credentials_check(runtime)
    yield credentials
    yield from _service_checks(runtime, credentials.level != FAIL)
    yield from _state_checks(runtime)
    yield _extras_check()


def _config_check(settings: "Settings") -> Check:
    """Check that the file's settings can be used, and that it is private if it contains a key.

    Raises:
        SpcliError: `config`.
    """
    path, profile = settings.config_path, settings.profile
    for key in ("project", "on_limit"):
        settings.value(key)
    if not path.exists():
        return Check("config", OK, f"{path} does not exist, profile {profile}")
    if settings.config.get(profile, "api_key") is not None:
        settings.config.check_private(readable=True)
    if sys.platform == "win32":
        return Check("config", OK, f"{path}, profile {profile}")
    mode = path.stat().st_mode & 0o777
    return Check("config", OK, f"{path}, mode {mode:04o}, profile {profile}")


def _credentials_check(runtime: "Runtime") -> Check:
    """Check that user ID and key are set and belong to the service; show their sources, never the key."""
    settings = runtime.settings
    try:
        user_id, key = settings.require_credentials()
    except SpcliError as failure:
        return failed_check("credentials", failure)
    runtime.output.redactor.register(key)
    user_source, key_source = (settings.value(name).source for name in ("user_id", "api_key"))
    return doctor_checks.credentials_check(f"user ID {user_id} ({user_source})", key_source, _key_shape(runtime))


def _key_shape(runtime: "Runtime") -> "KeyShape | None":
    from spcli.settings.credentials import describe_key_shape

    user_id, key = runtime.settings.require_credentials()
    return describe_key_shape(key, user_id)


def _service_checks(runtime: "Runtime", has_credentials: bool) -> "Iterator[Check]":
    try:
        base = runtime.settings.value("base_url")
        runtime.settings.value("window")
    except SpcliError as failure:
        yield failed_check("base-url", failure)
        return
    yield Check("base-url", OK, f"{base.value} ({base.source})")
    trust = [_proxy_check(runtime), _ca_check(runtime)]
    yield from trust
    if any(check.level == FAIL for check in trust):
        return
    transport, call_failure = _call_service(runtime, has_credentials)
    try:
        network = list(_network_checks(runtime, transport, call_failure))
        yield from network
        if has_credentials and network and all(check.level != FAIL for check in network):
            yield from _access_checks(runtime)
    finally:
        if not has_credentials:
            transport.close()


def _proxy_check(runtime: "Runtime") -> Check:
    from spcli.transport.proxies import no_proxy_notes, proxy_for  # with the transport: help does not need it
    from spcli.transport.request import parse_origin

    origin = parse_origin(runtime.settings.base_url)
    try:
        proxy = proxy_for(origin.scheme, origin.host, origin.port, runtime.environ)
    except SpcliError as failure:
        return failed_check("proxy", failure)
    return doctor_checks.proxy_check(proxy.label if proxy else None, no_proxy_notes(runtime.environ))


def _ca_check(runtime: "Runtime") -> Check:
    """Check the trusted certificates; a service without TLS needs none."""
    if runtime.settings.base_url.startswith("http://"):
        return Check("ca", OK, "not needed: the service is on this machine and uses no TLS")
    from spcli.transport.tls import load_trust

    try:
        trust = load_trust(runtime.environ)
    except SpcliError as failure:
        return failed_check("ca", failure)
    return doctor_checks.ca_check(trust.count_roots(), trust.source, trust.notes, runtime.environ)


def _call_service(runtime: "Runtime", has_credentials: bool) -> "tuple[Transport, SpcliError | None]":
    """Make one call without credentials and return its failure: any answer shows that the service can be reached."""
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
    facts = transport.connection_facts
    if failure is not None and (not is_answer or facts is None):
        hint = "check the URL with `spcli config get base_url`; is a firewall or VPN in the way?"
        yield failed_check("network", failure, hint)
        return
    if facts is None:
        return
    base_url, now = runtime.settings.base_url, runtime.clock.wall()
    yield doctor_checks.network_check(base_url, facts.address, facts.tls_version, facts.certificate, now)
    skew = None if facts.server_wall is None else now - facts.server_wall
    yield doctor_checks.clock_check(skew, sys.platform)


def _access_checks(runtime: "Runtime") -> "Iterator[Check]":
    """Check that the service accepts the credentials, and which API generation it has."""
    try:
        path = runtime.api.check_credentials()
    except SpcliError as failure:
        yield failed_check("access", failure, _access_hint(failure, _key_shape(runtime)))
        return
    yield Check("access", OK, "credentials accepted")
    try:
        has_builds = _has_builds(runtime)
    except SpcliError as failure:
        if failure.kind == "no-target":
            yield failed_check("project", failure)
            return
        yield Check("api", WARN, f"GET {path} works, but reading a project failed: {failure.message}", failure.hint)
        return
    yield doctor_checks.api_check(path, has_builds)


def _access_hint(failure: SpcliError, shape: "KeyShape | None") -> str:
    if failure.status == 401 and shape is not None:
        return shape.line
    if failure.status in (401, 403):
        return "run spcli auth login (requesting a new key revokes the old one)"
    return "check the URL with `spcli config get base_url`" if failure.status in (404, 405) else "try again in a minute"


def _has_builds(runtime: "Runtime") -> bool | None:
    """Return whether the selected project, or the account's first, has a build list; None without a project.

    Raises:
        SpcliError: `no-target`, if the account has no project of that name; errors of the read.
    """
    wanted = runtime.settings.project
    if wanted is not None and (project_id := parse_project_id(wanted)) is not None:
        return runtime.api.read_project(project_id).builds is not None
    projects = runtime.api.read_projects()
    if not projects and wanted is None:
        return None
    chosen = projects[0] if wanted is None else match_project(projects, wanted.strip())
    return runtime.api.read_project(chosen.id).builds is not None


def _state_checks(runtime: "Runtime") -> "Iterator[Check]":
    try:
        folder = runtime.settings.state_dir
        path = runtime.state.probe()
    except SpcliError as failure:
        yield failed_check("state", failure)
        return
    if path.parent != folder:
        from spcli.state.place import folder_hint

        yield Check(
            "state", WARN, f"{folder} cannot be used; rate limits and history are in {path.parent} for now", folder_hint()
        )
    else:
        yield Check("state", OK, f"{path} is writable")
    yield doctor_checks.filesystem_check(_real_path(path.parent), _read_mountinfo())


def _real_path(path: "Path") -> str:
    """Return `path` without links. Some drives of Windows cannot be resolved; then it stays as it is."""
    try:
        return os.path.realpath(path)
    except OSError:
        return str(path)


def _read_mountinfo() -> str | None:
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def _extras_check() -> Check:
    return doctor_checks.extras_check([name for name in ("starlette", "uvicorn") if find_spec(name) is None])
