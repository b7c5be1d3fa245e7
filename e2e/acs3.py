"""ACS3-HMAC-SHA256 written down a second time, from the description: what the official SDKs send is
checked by them; what nobody should send is made here."""

import hashlib
import hmac
import secrets
import time
from urllib.parse import parse_qsl, quote


def encode(text: str) -> str:
    return quote(text, safe="-_.~")


def canonical_query(query: str) -> str:
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{encode(key)}={encode(value)}" for key, value in pairs)


def stamp(at: float | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if at is None else at))


def signed(method, host, path, query, body, key_id, secret, *, at=None, nonce=None, headers=None,
           token=None) -> dict[str, str]:
    """All headers of a signed request."""
    send = {name.lower(): value for name, value in (headers or {}).items()}
    send |= {
        "host": host,
        "x-acs-version": "2023-03-30",
        "x-acs-action": send.get("x-acs-action", "Native"),
        "x-acs-date": stamp(at),
        "x-acs-signature-nonce": nonce or secrets.token_hex(16),
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    if token:
        send |= {"x-acs-accesskey-id": key_id, "x-acs-security-token": token}
    names = sorted(n for n in send if n.startswith("x-") or n in ("host", "content-type"))
    lines = "".join(f"{name}:{send[name].strip()}\n" for name in names)
    canonical = "\n".join((method, path, canonical_query(query), lines, ";".join(names),
                           send["x-acs-content-sha256"]))
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    send["authorization"] = (f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={';'.join(names)},"
                             f"Signature={signature}")
    return send
