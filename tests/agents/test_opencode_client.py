"""The client of OpenCode's API."""

from __future__ import annotations

import ssl

from midflight.agents.opencode_client import trusted


def test_only_https_needs_authorities_and_plain_http_trusts_none() -> None:
    assert trusted("HTTPS://far.example") is True
    nobody = trusted("http://127.0.0.1:4096")
    assert isinstance(nobody, ssl.SSLContext)
    assert nobody.cert_store_stats()["x509_ca"] == 0
    assert nobody.verify_mode == ssl.CERT_REQUIRED
