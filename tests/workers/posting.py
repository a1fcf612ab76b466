"""A platform that posts its events, signed by hand as Standard Webhooks describes, or not."""

import hashlib
import hmac
import http.client
import itertools
import json
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What was said to a post."""

    status: int
    headers: Mapping[str, str]
    said: Any


def signed(body: bytes, key: bytes, *, ago: float = 0, id_: str | None = None) -> dict[str, str]:
    """The headers of a post that was signed so many seconds ago."""
    id_, timestamp = id_ or f"msg_{next(_numbers)}", str(int(time.time() - ago))
    mac = hmac.new(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    signature = f"v1,{b64encode(mac.digest()).decode()}"
    return {"webhook-id": id_, "webhook-timestamp": timestamp, "webhook-signature": signature}


class Platform:
    """Posts to one address over one connection, which is made anew where the server closed it."""

    def __init__(self, public_url: str, key: bytes = b"only for tests") -> None:
        self._key = key
        self._connection = http.client.HTTPConnection(urlsplit(public_url).netloc, timeout=20)

    def post(self, body: bytes, kind: str = EVENT, *, ago: float = 0, key: bytes | None = None) -> Answer:
        """Post what is signed."""
        return self.send(body, {"Content-Type": kind, **signed(body, self._key if key is None else key, ago=ago)})

    def send(
        self,
        body: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str | bytes],
        *,
        method: str = "POST",
        path: str = "/events",
    ) -> Answer:
        """Send a request as it is; an iterable goes in chunks."""
        try:
            self._connection.request(method, path, body, dict(headers))
            with self._connection.getresponse() as response:
                text = response.read()
                found = {name.lower(): value for name, value in response.getheaders()}
        except BaseException:
            self.close()
            raise
        is_json = found.get("content-type") == "application/json"
        return Answer(response.status, found, json.loads(text) if is_json else text.decode())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def batch(*events: bytes) -> bytes:
    """Events as one batch."""
    return b"[" + b", ".join(events) + b"]"
