from slipcore import Cache, Topic, handle


async def lines():
    yield "to be or not to be"

words, counts = Topic("words"), Cache("counts")

@handle(lines(), sink=[words])
def split(line):
    yield from ((word, word) for word in line.split())

@handle(words, sink=[counts, print])
def count(word):
    return word.key, (counts[word.key] or 0) + 1
