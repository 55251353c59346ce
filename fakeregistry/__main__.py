"""The command ``fakeregistry``: a registry beside a client in any language.

    $ fakeregistry serve --port 5000 --admin-port 5001 --publish library/hello:1
    http://127.0.0.1:5000
    Admin: http://127.0.0.1:5001
    127.0.0.1:5000/library/hello:1

The first line is the URL; it is printed when the registry is ready. SIGINT and
SIGTERM end it at once, with status 0. Misuse is one line and status 2.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Final, NoReturn

from fakeregistry import BasicAuth, Registry, TokenAuth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["main"]

_TOKEN_VARIABLE: Final = "FAKEREGISTRY_ADMIN_TOKEN"  # noqa: S105 - a name


class _Misuse(ValueError):
    """The command line says something that cannot be meant."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise _Misuse(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    try:
        options = _parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = options.run
        return command(options)
    except (ValueError, OSError) as err:
        line = " ".join(str(err).split())
        sys.stderr.write(f"fakeregistry: {line}\n")
        return 2


def parse_auth(text: str | None) -> BasicAuth | TokenAuth | None:
    """Read ``basic:USER:PASS``, ``token`` or ``token:USER:PASS``.

    Raises:
        ValueError: It is none of them; the text is not repeated, for it may hold
            a password.
    """
    if text is None:
        return None
    kind, *credentials = text.split(":", 2)
    if kind == "token" and not credentials:
        return TokenAuth()
    if kind not in {"basic", "token"} or len(credentials) != 2:
        raise ValueError("--auth is basic:USER:PASS, token:USER:PASS or token")
    username, password = credentials
    if kind == "basic":
        return BasicAuth(username, password)
    return TokenAuth(username, password)


def _serve(options: argparse.Namespace) -> int:
    registry = _make(options)
    with _signals() as wait, registry:
        lines = [registry.url, *_open_admin(registry, options)]
        if registry.ca_file is not None:
            lines.append(f"CA: {registry.ca_file}")
        for path in options.load:
            lines.extend(registry.ref(image) for image in registry.load(path))
        lines.extend(registry.ref(registry.publish(ref)) for ref in options.publish)
        if registry.replay is not None:
            lines.extend(registry.replay.references(registry.host))
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        wait()
    return 0


def _make(options: argparse.Namespace) -> Registry:
    if options.har is not None:
        for name in ("scenario", "publish", "load"):
            if getattr(options, name):
                raise _Misuse(
                    f"--{name} contradicts --har: all answers are in the file"
                )
    if options.record_bodies and options.admin_port is None:
        raise _Misuse("--record-bodies is of no use without --admin-port")
    given: dict[str, Any] = {
        "host": options.host,
        "port": options.port,
        "tls": options.tls or None,
        "auth": parse_auth(options.auth),
        "profile": options.profile,
        "storage": options.storage,
        "record_bodies": options.record_bodies or None,
        "har": options.har,
    }
    arguments = {name: value for name, value in given.items() if value is not None}
    if options.scenario is not None:
        return Registry.from_scenario(options.scenario, **arguments)
    return Registry(**arguments)


def _open_admin(registry: Registry, options: argparse.Namespace) -> list[str]:
    if options.admin_port is None:
        for name in ("admin_host", "admin_token"):
            if getattr(options, name) is not None:
                flag = name.replace("_", "-")
                raise _Misuse(f"--{flag} is of no use without --admin-port")
        return []
    given = options.admin_token or os.environ.get(_TOKEN_VARIABLE)
    host = options.admin_host or "127.0.0.1"
    admin = registry.open_admin(host=host, port=options.admin_port, token=given)
    lines = [f"Admin: {admin.url}"]
    if given is None and admin.token is not None:
        lines.append(f"Admin token: {admin.token}")
    return lines


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], object]]:
    """Give what waits for SIGINT or SIGTERM; they do nothing else in the block.

    A handler may run while a lock is held: it writes to a pipe and takes none.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def note(number: int, frame: object) -> None:
        del number, frame
        with contextlib.suppress(BlockingIOError):
            os.write(writing, b"!")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield lambda: os.read(reading, 1)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _list_profiles(options: argparse.Namespace) -> int:
    from fakeregistry.profiles import PROFILES  # noqa: PLC0415 - for this alone

    del options
    lines = []
    for profile in PROFILES.values():
        lines.append(profile.name)
        for text in (profile.what, f"Seen in: {profile.who}", profile.source):
            wrapped = textwrap.wrap(
                text, 76, break_long_words=False, break_on_hyphens=False
            )
            lines.extend(f"    {line}" for line in wrapped)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fakeregistry", description="A registry for tests of clients."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="run a registry until a signal ends it",
        description="Run a registry until SIGINT or SIGTERM. It prints its URL first.",
    )
    serve.set_defaults(run=_serve)
    _add_registry_options(serve)
    _add_content_options(serve)
    _add_admin_options(serve)
    profiles = commands.add_parser("profiles", help="list what --profile can be")
    profiles.set_defaults(run=_list_profiles)
    return parser


def _add_registry_options(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, metavar="N", help="0, the default: any")
    serve.add_argument("--tls", action="store_true", help="speak HTTPS")
    serve.add_argument(
        "--auth",
        metavar="KIND[:USER:PASS]",
        help="basic:USER:PASS, token:USER:PASS, or token for everybody",
    )
    serve.add_argument(
        "--profile", metavar="NAME", help="resemble a registry of the real world"
    )
    serve.add_argument(
        "--scenario",
        metavar="FILE",
        help="TOML file that says all of this, images, faults and gates; options"
        " given here win",
    )


def _add_content_options(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--publish",
        metavar="NAME[:TAG]",
        action="append",
        default=[],
        help="hold a small image of this name; may be given several times",
    )
    serve.add_argument(
        "--load",
        metavar="PATH",
        action="append",
        default=[],
        help="hold the images of an OCI layout or a docker-archive; may be given"
        " several times",
    )
    serve.add_argument(
        "--storage", metavar="DIR", help="keep the content there, not in memory"
    )
    serve.add_argument(
        "--har",
        metavar="FILE",
        help="answer as this HAR file says, which was recorded with --record-bodies",
    )
    serve.add_argument(
        "--record-bodies",
        action="store_true",
        help="keep the bodies of responses for the admin API's /journal.har",
    )


def _add_admin_options(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--admin-port", type=int, metavar="N", help="open the admin API; 0: any port"
    )
    serve.add_argument(
        "--admin-host", metavar="HOST", help="address of the admin API (127.0.0.1)"
    )
    serve.add_argument(
        "--admin-token",
        metavar="TOKEN",
        help=f"bearer token that the admin API wants (or ${_TOKEN_VARIABLE});"
        " one is made and printed where it listens to other machines",
    )


if __name__ == "__main__":
    sys.exit(main())
