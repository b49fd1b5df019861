"""The current app: the module-level `handle()`, `stream()` and `Conf` act on it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar

from slipcore.app import App, H, check_source
from slipcore.config import Setting, mask
from slipcore.engine.bindings import Handler, Order, Pipe
from slipcore.engine.policies import OnError
from slipcore.engine.streams import PausableStream
from slipcore.interfaces import ConfigError
from slipcore.utils import PubSub

_current: App | None = None


def current_app() -> App:
    """The app that the module-level functions act on, made at first use."""
    global _current
    if _current is None:
        _current = App()
    return _current


def use_app(app: App | None) -> App | None:
    """Make an app the current one (None: a new one at the next use); the former is returned."""
    global _current
    former, _current = _current, app
    return former


def handle(
    *sources: Any,
    pipe: Iterable[Pipe] = (),
    sink: Iterable[Any] = (),
    name: str | None = None,
    delivery: str = "at-least-once",
    on_error: OnError = None,
    on_decode_error: OnError = None,
    on_sink_error: OnError = None,
    timeout: float | None = None,
    batch: bool = False,
    concurrency: int | None = None,
    threads: int | None = None,
    order: Order = "key",
) -> Callable[[H], H]:
    """Bind sources and sinks to a function of the current app; see `App.handle`.

    >>> topic, cache = Topic('demo', backend='memory'), {}
    >>> @handle(topic, sink=[print])
    ... def handler(msg, **kwargs):
    ...     return msg.key, msg.value
    """
    return current_app().handle(
        *sources,
        pipe=pipe,
        sink=sink,
        name=name,
        delivery=delivery,
        on_error=on_error,
        on_decode_error=on_decode_error,
        on_sink_error=on_sink_error,
        timeout=timeout,
        batch=batch,
        concurrency=concurrency,
        threads=threads,
        order=order,
    )


def stream(**kwargs: Any) -> Coroutine[None, None, None]:
    """Run the current app; see `App.stream`."""
    return current_app().stream(**kwargs)


class Conf:
    """The settings that every topic of the current app is made with.

    >>> Conf({'group_id': 'default-demo'})
    {'group_id': 'default-demo'}

    Later calls add to what earlier ones gave; a topic takes what is there when it is made.
    """

    pubsub: ClassVar[PubSub] = PubSub()

    def __init__(self, conf: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self.app = current_app()
        self.app.conf.update(conf or {}, **settings)

    def __repr__(self) -> str:
        return repr(mask({key: Setting(value, "code") for key, value in self.app.conf.items()}))

    def __getitem__(self, key: str) -> Any:
        return self.app.conf[key]

    @property
    def iterables(self) -> dict[str, PausableStream]:
        """What is being read, by name, while the app runs."""
        return {stream.name: stream for stream in self.app.streams}

    @property
    def exit_hooks(self) -> list[Callable[[], Any]]:
        return self.app.exit_hooks

    def register_exit_hook(self, exit_hook: Callable[[], Any | Awaitable[Any]]) -> None:
        """Call a function, sync or async, on shutdown."""
        self.app.on_exit(exit_hook)

    def register_iterable(self, key: str, it: AsyncIterable[Any]) -> None:
        """Name an iterable for `register_handler`."""
        check_source(it)
        self.app.named_iterables[key] = it

    def register_handler(self, key: str, handler: Handler, *pipe: Pipe) -> None:
        """Bind a handler to the iterable of that name."""
        if key not in self.app.named_iterables:
            raise ConfigError(f"No iterable is registered as {key!r}: register_iterable() first.")
        self.app.handle(self.app.named_iterables[key], pipe=pipe)(handler)

    async def start(self, **kwargs: Any) -> None:
        """Run the app; see `App.stream`."""
        await self.app.stream(**kwargs)
