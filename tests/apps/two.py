"""Two apps, of which one is to be named."""

from collections.abc import AsyncIterator

from slipcore import App

first, second = App("first"), App("second")
number = 5


async def numbers() -> AsyncIterator[int]:
    yield 1


@first.handle(numbers(), sink=[print])
def one(number: int) -> str:
    return "first"


@second.handle(numbers(), sink=[print])
def two(number: int) -> str:
    return "second"
