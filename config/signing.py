"""Keys: the one that mail is signed with (DKIM), read once at the start, where a wrong one can still be refused; and
those that are made of `SECRET_KEY`, one for each purpose, of which none tells another."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SigningKey = RSAPrivateKey | Ed25519PrivateKey

#: Bits of an RSA key at least: verifiers need take no shorter than 1024 (RFC 8301), and trust 2048.
LEAST_BITS = 2048


def read_key(pem: str) -> SigningKey:
    """The private key in a PEM. Raises ValueError for what is not one that mail can be signed with; nothing of the key
    is in its message."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError("the key is encrypted; there is nobody to ask for its password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("this is no private key in PEM") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("mail is signed with an RSA or an Ed25519 key, and this is neither")  # noqa: TRY004
    if key.key_size < LEAST_BITS:
        raise ValueError(f"an RSA key has at least {LEAST_BITS} bits, and this one has {key.key_size}")
    return key


def derived(secret_key: str, purpose: bytes) -> bytes:
    """The 32 octets that a secret makes for one purpose (HKDF, RFC 5869): who knows them knows neither the secret nor
    what it makes for another."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret_key.encode())
