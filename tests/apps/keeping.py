"""Keeps three numbers and ends: what is committed before something goes wrong."""

from collections.abc import AsyncIterator

from slipcore import Cache, handle

kept = Cache("kept")


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@handle(numbers(), sink=[kept])
def keep(number: int) -> tuple[str, int]:
    return f"n{number}", number * 10
