"""Recorded outcomes of containerd v1.5.18's own functions; see README.md."""
