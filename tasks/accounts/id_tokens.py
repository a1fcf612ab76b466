"""What an ID token of an OpenID provider says, once it is known to be the provider's, for us, and of this sign-in
(OpenID Connect Core 1.0, 3.1.3.7)."""

import hmac
from collections.abc import Sequence
from typing import Any

import jwt

#: Signatures that are accepted: by a key of which the provider alone has the private half. `none`, and those by a
#: secret that we have as well, are no signature of the provider's.
ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}

#: Seconds that the provider's clock may be off.
SKEW_SECONDS = 60

#: Characters of a subject at most (OpenID Connect Core 1.0, 2).
LONGEST_SUBJECT = 255


class TokenRefused(Exception):
    """It is no token for us. The message says why, and quotes nothing of it."""


class KeyUnknown(TokenRefused):
    """It is signed with none of these keys: they may be old."""


def claims_of(token: str, keys: Sequence[dict[str, Any]], *, issuer: str, client_id: str, nonce: str) -> dict[str, Any]:
    """What a token says. `keys`: the provider's, as it publishes them (RFC 7517). Raises `TokenRefused`."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise TokenRefused("it is no signed token") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused("it is not signed in a way that is accepted")
    claims = _verified(token, [key for key in keys if _fits(key, algorithm, kid)], algorithm, issuer, client_id)
    audiences = claims["aud"]
    if claims.get("azp", client_id) != client_id or (
        isinstance(audiences, list) and len(audiences) > 1 and "azp" not in claims
    ):
        raise TokenRefused("it is for somebody else")
    if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(claims["nonce"].encode(), nonce.encode()):
        raise TokenRefused("it is of another sign-in")
    if not 0 < len(claims["sub"]) <= LONGEST_SUBJECT or "\0" in claims["sub"]:
        raise TokenRefused("it does not say who it is about")
    return claims


def _fits(key: dict[str, Any], algorithm: str, kid: object) -> bool:
    return (
        key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and kid in (None, key.get("kid"))
    )


def _verified(
    token: str, keys: Sequence[dict[str, Any]], algorithm: str, issuer: str, client_id: str
) -> dict[str, Any]:
    for key in keys:
        try:
            found: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK(key, algorithm),
                algorithms=[algorithm],
                audience=client_id,
                issuer=issuer,
                leeway=SKEW_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"], "enforce_minimum_key_length": True},
            )
        except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.PyJWKError):
            continue  # another may be the one
        except jwt.PyJWTError as problem:
            raise TokenRefused(f"its claims do not hold ({type(problem).__name__})") from None
        else:
            return found
    raise KeyUnknown("it is signed with none of the provider's keys")
