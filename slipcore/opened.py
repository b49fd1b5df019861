"""A topic of one run: its backend with its codecs, bytes on one side and values on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from slipcore.choice import Choice
from slipcore.engine.decoding import BatchDecoder
from slipcore.engine.sinks import EmittingSink, RunSink
from slipcore.engine.sources import SourceStream
from slipcore.interfaces import EncodeError, Headers, ICodec, ITopic, ITopicCodec, Out

if TYPE_CHECKING:
    from slipcore.app import App
    from slipcore.resources import Topic


class OpenTopic(EmittingSink):
    """One backend instance of a topic with its codecs: bytes on one side, values on the other."""

    def __init__(
        self, topic: Topic, choice: Choice, backend: ITopic, codec: ICodec, key_codec: ICodec
    ) -> None:
        self.topic = topic
        self.choice = choice
        self.backend = backend
        self.codec = codec
        self.key_codec = key_codec
        self._send_parts = backend.send_parts
        self._encode = codec.encode
        self._encode_key = key_codec.encode
        self._headers = codec.headers if isinstance(codec, ITopicCodec) else None
        self._key_headers = key_codec.headers if isinstance(key_codec, ITopicCodec) else None
        self._own_headers = self._headers is not None or self._key_headers is not None
        self._opening = asyncio.Lock()
        self._is_connected = False
        self._may_send = False

    def __repr__(self) -> str:
        return repr(self.topic)

    def stream(self, app: App) -> SourceStream:
        """The topic as something to read."""
        return SourceStream(
            self.topic,
            f"{self.choice.backend.name}:{self.topic.name}",
            self.backend,
            connection=_Reading(self),
            decoder=BatchDecoder(self.codec, self.key_codec),
            offset=self.topic.offset,
            store=app.checkpoint_store,
            assignment_timeout=app.limits.start,
        )

    async def open(self) -> None:
        await self.connect()
        async with self._opening:
            if not self._may_send:
                for codec in (self.codec, self.key_codec):
                    if isinstance(codec, ITopicCodec):
                        await codec.open()
                self._may_send = True

    async def connect(self) -> None:
        """Open the backend alone, which is enough to read."""
        async with self._opening:
            if not self._is_connected:
                self._is_connected = True
                await self.backend.open()
                self._send_parts = self.backend.send_parts  # an open one may have a shorter way

    async def close(self) -> None:
        self._may_send = False
        if self._is_connected:
            self._is_connected = False
            await self.backend.close()
            self._send_parts = self.backend.send_parts

    def emitter(self, run: RunSink) -> Callable[[Any], Awaitable[None] | None]:
        """What takes one result of a handler: `send`, but without an `Out` in between."""
        encode, encode_key = self._encode, self._encode_key
        passes, passes_key = self.codec.passes_bytes, self.key_codec.passes_bytes
        own_headers, is_dry = self._own_headers, self.topic.dry
        room = run.room

        def emit(result: Any) -> Awaitable[None] | None:
            if run.failure is not None:
                return None
            kind = type(result)
            if kind is tuple and len(result) == 2:
                key, value = result
            else:
                key, value = None, result
            if kind is Out:
                waiting = self.send(result)
                return None if waiting is None else room(waiting)
            try:
                if key is not None and not (passes_key and type(key) is bytes):
                    key = encode_key(key)
                if value is not None and not (passes and type(value) is bytes):
                    value = encode(value)
            except Exception as error:
                raise self._unwritten(key, error) from error
            if is_dry:
                return None
            if own_headers:
                waiting = self._send_parts(value, key, self._with_own((), key, value))
            else:
                waiting = self._send_parts(value, key)
            return None if waiting is None else room(waiting)

        return emit

    def send(self, output: Out) -> Awaitable[None] | None:
        key, value = output.key, output.value
        try:
            if key is not None:
                key = self._encode_key(key)
            if value is not None:
                value = self._encode(value)
        except Exception as error:
            raise self._unwritten(key, error) from error
        headers = output.headers
        if headers:
            check_headers(headers, self.topic)
        if self._own_headers:
            headers = self._with_own(headers, key, value)
        if self.topic.dry:
            return None
        return self._send_parts(value, key, headers, output.timestamp, output.partition)

    def _unwritten(self, key: Any, error: Exception) -> EncodeError:
        what = "value" if key is None or isinstance(key, bytes) else "key"
        return EncodeError(f"{self.topic!r} can't encode a {what}: {error}")

    def _with_own(self, headers: Headers, key: bytes | None, value: bytes | None) -> Headers:
        if self._headers is not None and value is not None:
            headers = self._headers(headers)
        if self._key_headers is not None and key is not None:
            headers = self._key_headers(headers)
        return headers

    async def flush(self) -> None:
        await self.backend.flush()


class _Reading:
    """A topic's connection for who only reads: what its codecs need to write is not asked for."""

    def __init__(self, opened: OpenTopic) -> None:
        self.open = opened.connect
        self.close = opened.close


def check_headers(headers: Any, topic: Topic) -> None:
    """Refuse at once what no reader could take.

    Raises:
        EncodeError: a header that is no pair of a str and bytes.
    """
    for header in headers if isinstance(headers, tuple) else (headers,):
        match header:
            case (str(), bytes()):
                continue
        raise EncodeError(
            f"{topic!r} can't write the header {header!r}: headers are pairs of a str and bytes, "
            "headers=[('trace', b'1')]."
        )
