"""HTTPS and a login: the challenge, the token, and the password kept to one place."""

import base64
import json
import re
import ssl
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from fakeregistry import TokenAuth


def get(url, context, username, password):
    """The client under test: logs in when it is asked to."""
    try:
        with urlopen(url, context=context) as response:
            return response.read()
    except HTTPError as err:
        with err:
            challenge = err.headers["WWW-Authenticate"]
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = f"{fields.pop('realm')}?{urlencode(fields)}"
    login = base64.b64encode(f"{username}:{password}".encode()).decode()
    basic = Request(realm, headers={"Authorization": f"Basic {login}"})
    with urlopen(basic, context=context) as response:
        token = json.load(response)["token"]
    bearer = Request(url, headers={"Authorization": f"Bearer {token}"})
    with urlopen(bearer, context=context) as response:
        return response.read()


def test_login(registry_factory):
    registry = registry_factory(TokenAuth("me", "secret"), tls=True)
    image = registry.publish("library/hello:1")
    context = ssl.create_default_context(cafile=registry.ca_file)
    data = get(f"{registry.url}/v2/library/hello/manifests/1", context, "me", "secret")
    assert data == image.data[image.digest]
    schemes = [e.request_headers.get("Authorization")[:6] for e in registry.journal]
    assert schemes == ["", "Basic ", "Bearer"]
