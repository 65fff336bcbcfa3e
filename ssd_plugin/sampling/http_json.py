"""JSON over HTTP to one server, many requests at a time: asked again with back-off, as patiently as the server wants it, and
bounded in size and time. The key goes into one header and into no message."""

import email.utils
import json
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from itertools import islice
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal

from ssd_plugin.errors import SamplingError

TRIES = 8  # a request, the first included; those that only the rate limit turned away do not count while others are answered
FIRST_TRIES = 3  # where nobody has answered yet, which is mostly a wrong address
PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before the second try, doubled each time, and the most of them
PATIENCE = 600.0  # seconds, the longest wait that a server may ask for
CONNECTING = 30.0  # seconds
MOST_BYTES = 1 << 26  # of an answer
BUSY = frozenset({408, 425, 429})  # and 500 and above
KEPT = "what was fetched is kept, the same command again continues"

Asked = TypeVar("Asked")
Found = TypeVar("Found")


class Refused(SamplingError):  # noqa: N818 - what the server did
    """The server will not do this, now or later. `status`: of HTTP; `reason`: in its own words."""

    def __init__(self, url: str, status: int, reason: str) -> None:
        hint = {401: "; name the key's variable with --key-env", 403: "; name the key's variable with --key-env"}
        hint |= {404: "; the URL is that of an OpenAI-compatible API and mostly ends in /v1"}
        super().__init__(f"{url}: {status} {reason}{hint.get(status, '')}; {KEPT}")
        self.status, self.reason = status, reason


class _Busy(Exception):  # noqa: N818 - not a failure yet
    """Ask again. `seconds`: when, if the server says so; `limited`: by its rate limit."""

    def __init__(self, reason: str, seconds: float | None, limited: bool) -> None:
        super().__init__(reason)
        self.seconds, self.limited = seconds, limited


class JsonServer:
    """One server, up to `most` requests at a time, `seconds` for each try; a context manager.

    Raises:
        SamplingError: `url` is not a plain http:// or https:// address.
    """

    def __init__(self, url: str, *, key: str = "", most: int, seconds: float) -> None:
        self.url = _plain(url)
        self._key, self._most, self._seconds = key, most, seconds
        self._quiet_until = 0.0  # of time.monotonic(): nobody asks before that
        self._answered = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(None, connect=CONNECTING),
            limits=httpx2.Limits(max_connections=self._most, max_keepalive_connections=self._most),
        )
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.callback(self._portal.call, self._client.aclose)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is waited for."""
        self._stack.close()

    def get(self, path: str, read: Callable[[Any], Found]) -> Found:
        """What `read` makes of the JSON at `path`.

        Raises:
            SamplingError: as `ask`.
        """
        found: Found = self._portal.call(self.ask, path, read)
        return found

    def each(self, answer: Callable[[Asked], Awaitable[Found]], asked: Iterable[Asked]) -> Iterator[Found]:
        """`answer` for each of `asked`, as they finish. What has been answered when one fails still comes, then the failure."""
        source = iter(asked)
        flying: set[Future[Found]] = set()
        try:
            while True:
                for item in islice(source, self._most - len(flying)):
                    flying.add(self._portal.start_task_soon(answer, item))
                if not flying:
                    return
                finished, flying = wait(flying, return_when=FIRST_COMPLETED)
                for future in sorted(finished, key=lambda done: done.exception() is not None):
                    yield future.result()
        finally:
            for future in flying:
                future.cancel()

    async def ask(self, path: str, read: Callable[[Any], Found], body: Any = None) -> Found:
        """POST `body` (None: GET) and what `read` makes of the answer; one that it cannot read is asked for again.

        Raises:
            Refused: the server will not.
            SamplingError: no whole answer after `TRIES`, or the server wants a longer wait than `PATIENCE`.
        """
        tries = 0
        while True:
            answered = self._answered
            await self._be_quiet()
            try:
                with anyio.fail_after(self._seconds):
                    found = read(json.loads(await self._once(path, body)))
            except _Busy as busy:
                reason, seconds = str(busy), busy.seconds
                tries = 0 if busy.limited and self._answered > answered else tries + 1
            except (httpx2.HTTPError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
                reason, seconds = self._without_key(f"{type(error).__name__} {error}".strip()), None
                tries += 1
            else:
                self._answered += 1
                return found
            if tries == (TRIES if self._answered else FIRST_TRIES):
                raise SamplingError(f"{self.url}/{path}: {reason} ({tries} tries); is the server well? {KEPT}")
            await self._back_off(tries, seconds, f"{self.url}/{path}: {reason}")

    async def _back_off(self, tries: int, seconds: float | None, what: str) -> None:
        """Wait; where the server says how long, all do."""
        if seconds is not None and seconds > PATIENCE:
            raise SamplingError(f"{what}, and asks to wait {seconds:.0f} seconds; {KEPT}")
        if seconds is not None:
            self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)
        else:
            doubled: float = min(LONGEST_PAUSE, PAUSE * 2 ** max(tries - 1, 0))
            await anyio.sleep(doubled * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once

    async def _be_quiet(self) -> None:
        while (left := self._quiet_until - time.monotonic()) > 0:
            await anyio.sleep(left + random.uniform(0, min(PAUSE, left)))  # noqa: S311 - likewise

    async def _once(self, path: str, body: Any) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        method, url = "GET" if body is None else "POST", f"{self.url}/{path}"
        async with self._client.stream(method, url, content=content, headers=headers) as response:
            whole = await _bounded(response)
            status = response.status_code
            if 200 <= status < 300:
                return whole
            reason = self._without_key(_said(whole))
            if status in BUSY or status >= 500:
                raise _Busy(f"{status} {reason}", _wanted_wait(response.headers.get("retry-after", "")), status == 429)
            if 300 <= status < 400:
                reason = f"is a redirect to {response.headers.get('location', 'nowhere'):.200}; name that address"
            raise Refused(url, status, reason)

    def _without_key(self, text: str) -> str:
        """Servers and libraries like to repeat what they were given."""
        return text.replace(self._key, "[key]") if self._key else text


async def _bounded(response: httpx2.Response) -> bytes:
    whole = bytearray()
    async for part in response.aiter_bytes():
        whole += part
        if len(whole) > MOST_BYTES:
            raise ValueError(f"an answer of more than {MOST_BYTES} bytes")
    return bytes(whole)


def _plain(url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        secret = parts.username is not None or parts.password is not None
        _ = parts.port
    except ValueError:
        fine, secret = False, False
    if secret:
        raise SamplingError(
            "the server's address holds a name or password; leave it out, --key-env names a key's variable"
        )
    if not fine:
        raise SamplingError(f"{url!r} is not a plain http:// or https:// address")
    return url.rstrip("/")


def _said(whole: bytes) -> str:
    """The message in an error's body, whichever way the server puts it."""
    text = whole[:4000].decode(errors="replace")
    try:
        found = json.loads(whole)
        error = found.get("error", found)
        text = str(error.get("message", text) if isinstance(error, dict) else error)
    except (ValueError, AttributeError, RecursionError):
        pass
    return " ".join(text.split())[:300]


def _wanted_wait(value: str) -> float | None:
    """Seconds that Retry-After asks for, as a number or as a date; None where it says nothing that can be read."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
