"""A real tree from docker-registry, over TLS and with tokens, beside umoci's."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)

from fakeregistry.tls import authority, server_context

PROGRAMS = ("docker-registry", "skopeo", "umoci", "tar")
TREES = [
    name
    for name in ("perl", "zoneinfo", "python3")
    if Path(f"/usr/share/{name}").is_dir()
]

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, PROGRAMS)), reason=f"needs {', '.join(PROGRAMS)}"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices take root"),
]

USER = "user:correct-horse"
SERVICE = "docker-registry"
ISSUER = "the tests"
CONFIG = """
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http:
  addr: "127.0.0.1:0"
  tls: {{certificate: {tls.server_cert}, key: {tls.server_key}}}
auth:
  token:
    realm: "{realm}"
    service: {service}
    issuer: {issuer}
    rootcertbundle: {tls.ca_file}
"""


def run(*command, **options):
    return subprocess.run(
        command, check=True, capture_output=True, timeout=120, **options
    ).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims):
    """Return a JSON Web Token (RFC 7515, ES256), as docker-registry believes it."""
    key = load_pem_private_key(authority().server_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate(authority().server_cert.read_bytes())
    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    header = {"typ": "JWT", "alg": "ES256", "x5c": chain}
    text = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    pair = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{base64url(b''.join(n.to_bytes(32, 'big') for n in pair))}"


class TokenServer(BaseHTTPRequestHandler):
    """Docker's token protocol: who logs in gets all that is asked for."""

    def do_POST(self):
        """There is no OAuth2 here; a client falls back to GET."""
        self.send_error(404)

    def do_GET(self):
        wanted = "Basic " + base64.b64encode(USER.encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_error(401)
            return
        query = parse_qs(urlsplit(self.path).query)
        scopes = [scope.split(":") for scope in query.get("scope", [])]
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "user",
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 60,
            "exp": now + 300,
            "jti": "1",
            "access": [
                {"type": kind, "name": name, "actions": actions.split(",")}
                for kind, name, actions in scopes
            ],
        }
        body = json.dumps({"token": sign(claims), "expires_in": 300}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Say nothing."""


@pytest.fixture
def realm():
    server = ThreadingHTTPServer(("127.0.0.1", 0), TokenServer)
    server.socket = server_context().wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def registry(realm, tmp_path):
    """A docker-registry process; yields its address."""
    config, log = tmp_path / "config.yml", tmp_path / "log"
    config.write_text(
        CONFIG.format(
            root=tmp_path / "data",
            tls=authority(),
            realm=realm,
            service=SERVICE,
            issuer=ISSUER,
        )
    )
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=out, stderr=out
        )
    try:
        yield _address(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _address(process, log):
    """Wait for the line that says where the registry listens."""
    tail = ["tail", "-n", "+1", "-F", f"--pid={process.pid}", str(log)]
    with subprocess.Popen(tail, stdout=subprocess.PIPE, text=True) as lines:
        try:
            for line in lines.stdout or ():
                if found := re.search(r"listening on ([\d.]+:\d+)", line):
                    return found[1]
        finally:
            lines.kill()
    pytest.fail(f"docker-registry did not start: {log.read_text()}")


@pytest.fixture
def layout(source, layer, entry, tmp_path):
    """A layout with an image of this machine's files, a made tree, and changes."""
    where = tmp_path / "layout"
    run("umoci", "init", "--layout", str(where))
    run("umoci", "new", "--image", f"{where}:v1")
    made = tmp_path / "made.tar"
    made.write_bytes(
        layer(
            # Real layers name the folders in which they remove something.
            entry("share", "dir"),
            entry("share/zoneinfo", "dir"),
            "share/zoneinfo/.wh.Africa",
            entry("share/zoneinfo/America", "dir", mode=0o2711, gid=9),
            "share/zoneinfo/America/.wh..wh..opq",
            entry("share/zoneinfo/America/only", data=b"x", uid=3, gid=4, mode=0o6755),
            "share/.wh.python3",
            entry("share/python3", "symlink", link="perl"),
        )
    )
    trees = [
        ("/usr", *(f"share/{name}" for name in TREES)),
        (str(source), "."),
    ]
    for number, (parent, *names) in enumerate(trees):
        path = tmp_path / f"{number}.tar"
        with path.open("wb") as file:
            command = ["tar", "-C", parent, "--format=posix", "-c", *names]
            subprocess.run(command, check=True, stdout=file, timeout=120)
        run("umoci", "raw", "add-layer", "--image", f"{where}:v1", str(path))
    run("umoci", "raw", "add-layer", "--image", f"{where}:v1", str(made))
    return f"{where}:v1"


def client_environment():
    """Let nothing that is preset decide whom a client trusts."""
    unwanted = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
    return {key: value for key, value in os.environ.items() if key not in unwanted}


def test_refpull_and_umoci_unpack_the_same(
    registry, layout, describe_settled, tmp_path
):
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    shutil.copy(authority().ca_file, certificates / "ca.crt")
    ref = f"{registry}/library/rootfs:v1"
    run(
        *("skopeo", "--insecure-policy", "copy", "--dest-creds", USER),
        *("--dest-cert-dir", str(certificates), f"oci:{layout}", f"docker://{ref}"),
        env=client_environment(),
    )
    command = [sys.executable, "-m", "refimpl", "--root", str(tmp_path / "store")]
    run(
        *(*command, "pull", ref, "--unpack", "--user", USER),
        *("--ca", str(authority().ca_file)),
        env=client_environment(),
    )
    rows = json.loads(run(*command, "snapshots", "ls", "--json"))
    assert len(rows) == 3
    parents = {row["parent"] for row in rows}
    (top,) = (row["key"] for row in rows if row["key"] not in parents)
    folder = Path(run(*command, "snapshots", "mount-path", top).decode().strip())
    run("umoci", "raw", "unpack", "--image", layout, str(tmp_path / "out"))
    ours, umocis = describe_settled(folder), describe_settled(tmp_path / "out")
    assert len(ours) > 500
    assert "share/python3" in ours
    assert "share/zoneinfo/Africa" not in ours
    assert ours == umocis


def test_a_stranger_is_refused(registry):
    """So the pull above has logged in."""
    context = ssl.create_default_context(cafile=str(authority().ca_file))
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"https://{registry}/v2/", context=context, timeout=10)
