"""Doubles three numbers and ends."""

from collections.abc import AsyncIterator

from slipcore import handle


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@handle(numbers(), sink=[print])
def double(number: int) -> int:
    return number * 2
