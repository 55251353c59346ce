"""Vectors of containerd's remotes/docker/auth: what a challenge asks for."""

from refimpl.errdefs import ContainerdError
from refimpl.evaluate.values import Json, error_json
from refimpl.remotes.docker.auth import generate_token_options
from refimpl.remotes.docker.challenge import (
    AuthenticationScheme,
    Challenge,
    parse_auth_header,
)

__all__ = ["challenges"]


async def challenges(_kind: str, values: Json) -> Json:
    """Read WWW-Authenticate fields, and make token options of Bearer's."""
    out = []
    for challenge in parse_auth_header(values or ()):
        entry: dict[str, Json] = {
            "parameters": dict(sorted(challenge.parameters.items())),
            "scheme": challenge.scheme.name.lower(),
        }
        if challenge.scheme is AuthenticationScheme.BEARER:
            entry |= _token_options(challenge)
        out.append(entry)
    return out


def _token_options(challenge: Challenge) -> dict[str, Json]:
    try:
        options = generate_token_options(challenge)
    except ContainerdError as err:
        return {"token_options_error": error_json(err)}
    scopes = None if options.scopes is None else list(options.scopes)
    return {
        "token_options": {
            "realm": options.realm,
            "scopes": scopes,
            "service": options.service,
        }
    }
