"""Mirrors: containerd v1.5.18 remotes/docker/config: hosts and mirrors from files."""

from refimpl.remotes.docker.config.hosts import (
    HostOptions,
    configure_hosts,
    host_dir_from_root,
)
from refimpl.remotes.docker.config.hostsfile import (
    HostConfig,
    load_cert_files,
    load_host_dir,
    parse_hosts_file,
)

__all__ = [
    "HostConfig",
    "HostOptions",
    "configure_hosts",
    "host_dir_from_root",
    "load_cert_files",
    "load_host_dir",
    "parse_hosts_file",
]
