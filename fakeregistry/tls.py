"""TLS with a certificate authority made on the spot.

Keys, certificates and contexts are made once a process and shared by all its
registries: a test that starts one more pays nothing. The files lie in a
temporary folder that goes with the process.
"""

from __future__ import annotations

import atexit
import datetime
import functools
import ipaddress
import os
import shutil
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "authority", "server_context"]

_LIFE: Final = datetime.timedelta(days=30)
# Clocks of containers and virtual machines lag.
_BACKDATED: Final = datetime.timedelta(days=1)
_NAMES: Final = (
    x509.DNSName("localhost"),
    x509.DNSName("*.localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """PEM files of the authority and of what it signed."""

    ca_file: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


@functools.cache
def authority() -> Authority:
    """Return the authority of this process, made at the first call."""
    folder = Path(tempfile.mkdtemp(prefix="fakeregistry-tls-"))
    atexit.register(_remove, folder, os.getpid())
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _sign_authority(ca_key)
    server_key, server = _issue(ca, ca_key, "127.0.0.1", for_client=False)
    client_key, client = _issue(ca, ca_key, "client", for_client=True)
    return Authority(
        ca_file=_write(folder / "ca.pem", _certificate_pem(ca)),
        server_cert=_write(folder / "server.pem", _certificate_pem(server)),
        server_key=_write(folder / "server.key", _key_pem(server_key)),
        client_cert=_write(folder / "client.pem", _certificate_pem(client)),
        client_key=_write(folder / "client.key", _key_pem(client_key)),
    )


@functools.cache
def server_context(*, client_ca: bool = False) -> ssl.SSLContext:
    """Return the server's context; with ``client_ca`` it asks for certificates."""
    files = authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.server_cert, files.server_key)
    context.set_alpn_protocols(["http/1.1"])
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.ca_file)
    return context


def _sign_authority(key: Key) -> x509.Certificate:
    name = _name("fakeregistry test CA")
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(_key_id(key), critical=False)
        .sign(key, hashes.SHA256())
    )


def _issue(
    ca: x509.Certificate, ca_key: Key, name: str, *, for_client: bool
) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = (
        ExtendedKeyUsageOID.CLIENT_AUTH
        if for_client
        else ExtendedKeyUsageOID.SERVER_AUTH
    )
    builder = (
        _builder(_name(name), ca.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_key_id(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                _key_id(ca_key)
            ),
            critical=False,
        )
    )
    if not for_client:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(_NAMES), critical=False
        )
    return key, builder.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFE)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_id(key: Key) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes) -> Path:
    # The folder is open to its owner only (mkdtemp).
    path.write_bytes(data)
    return path


def _remove(folder: Path, owner: int) -> None:
    # A forked child inherits the hook, not the folder.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
