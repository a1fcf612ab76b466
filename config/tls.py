"""Whom we trust with TLS, as a client: certificates are verified, by their chain (RFC 5280) and name (RFC 9525)."""

import ssl
from functools import lru_cache
from pathlib import Path


def client_context(*protocols: str) -> ssl.SSLContext:
    """What a connection is encrypted by, for these application protocols (ALPN, RFC 7301). It trusts the authorities
    that the system does, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. They are many, so they are read once,
    and again after they have changed."""
    paths = ssl.get_default_verify_paths()
    authorities = [path for path in (paths.cafile, paths.capath) if path is not None]
    return _read(protocols, *((path, Path(path).stat().st_mtime_ns) for path in authorities))


@lru_cache(4)
def _read(protocols: tuple[str, ...], *_authorities: tuple[str, int]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
