"""Whom a client trusts: read once, and again after it has changed."""

import os
import ssl
from pathlib import Path

import pytest

from config.tls import client_context
from tests.certificates import self_signed


def test_authorities_are_read_once_and_again_after_they_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = self_signed(tmp_path / "pem")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    first = client_context()
    assert client_context() is first
    assert client_context("http/1.1") is not first

    file.write_bytes(self_signed(tmp_path / "other").read_bytes())
    os.utime(file, ns=(0, 0))
    renewed = client_context()

    assert renewed.get_ca_certs() != first.get_ca_certs()
    assert (renewed.verify_mode, renewed.check_hostname) == (ssl.CERT_REQUIRED, True)
