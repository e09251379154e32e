"""One request to a server that need not be friendly: one limit on its time, one on its size."""

from __future__ import annotations

import asyncio
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from workbench.compare.judging.secret import Secret
from workbench.errors import WorkbenchError

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
LARGEST = 1 << 20  # bytes of a reply


@dataclass(frozen=True)
class Reply:
    """What a server answered: any status, redirects included, which are not followed."""

    status: int
    retry_after: str
    body: bytes


def post(url: str, content: bytes, key: Secret, seconds: float) -> Reply:
    """Send JSON with the key as a bearer token, and read the whole reply.

    Proxies of the environment are used but for this machine; through one of them https is a tunnel,
    so that it sees neither headers nor content.

    Raises:
        TimeoutError: that took longer than `seconds`, from connecting to the last byte, however
            steadily bytes were coming in.
        OSError: the server can't be reached, or the reply breaks off.
        WorkbenchError: the reply has more than `LARGEST` bytes.
    """
    request = _exchange(url, content, key, seconds)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(request)
    with ThreadPoolExecutor(1) as pool:  # in a notebook's cell a loop is running already
        return pool.submit(asyncio.run, request).result()


@cache
def _certificates() -> ssl.SSLContext:
    """Those that the system trusts; reading them takes longer than a request on this machine."""
    return ssl.create_default_context()


async def _exchange(url: str, content: bytes, key: Secret, seconds: float) -> Reply:
    import httpx

    logging.getLogger("httpcore").setLevel(logging.INFO)  # below, it would log what servers echo
    local, body = urlsplit(url).hostname in LOCAL_HOSTS, bytearray()
    # Compressed, a megabyte could become a gigabyte. This kind of headers is printed without keys.
    headers = httpx.Headers({"Content-Type": "application/json", "Accept-Encoding": "identity"})
    if key:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=None, trust_env=not local, verify=_certificates()) as client,
            client.stream("POST", url, content=content, headers=headers) as reply,
        ):
            async for part in reply.aiter_raw():
                body += part
                if len(body) > LARGEST:
                    raise WorkbenchError(f"the judge's reply has more than {LARGEST:,} bytes")
            return Reply(reply.status_code, reply.headers.get("Retry-After", ""), bytes(body))
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
        # The two last: what the environment says of proxies can't be used.
        raise OSError(str(error) or type(error).__name__) from None
