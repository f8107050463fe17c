"""Real servers for check: one that accepts only the policy, one that accepts all of OpenSSL.

Every test may use the fixtures: conftest.py imports them.
"""

import pytest

from upstreams import nginx

POLICY = "ECDHE+AESGCM:ECDHE+AES+SHA256:ECDHE+AES+SHA384"
SIGNATURES = ("ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:"
              "RSA+SHA256:RSA+SHA384")
STRICT = ("-tls1_2", "-cipher", POLICY, "-groups", "X25519:P-256:P-384:P-521",
          "-sigalgs", SIGNATURES)
LOOSE = "ALL:@SECLEVEL=0"


@pytest.fixture(scope="module")
def strict(pki, tmp_path_factory):
    """nginx that accepts only the policy, with both types of key."""
    with nginx(tmp_path_factory.mktemp("strict"), pki.ec, pki.rsa, ciphers=POLICY, extra=(
            "ssl_ecdh_curve X25519:prime256v1:secp384r1:secp521r1;"
            f"ssl_conf_command SignatureAlgorithms {SIGNATURES};")) as server:
        yield server


@pytest.fixture(scope="module")
def loose(pki, tmp_path_factory):
    """nginx that accepts all that OpenSSL supports."""
    with nginx(tmp_path_factory.mktemp("loose"), pki.ec, pki.rsa, http2=True,
               protocols="SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3", ciphers=LOOSE) as server:
        yield server
