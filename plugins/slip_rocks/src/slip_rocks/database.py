"""One RocksDB: opened so that damage is found, written so that nobody else waits, told in words."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from threading import RLock
from time import monotonic, sleep
from typing import Final

from rocksdict import (
    AccessType,
    DbClosedError,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from slip_rocks.failures import DamagedError, advised, is_damaged, is_locked, is_stalled
from slip_rocks.layout import (
    FORMAT_KEY,
    MARKS,
    end_of,
    mark_key,
    mark_of,
    pack_mark,
    unpack_mark,
)
from slip_rocks.place import Place
from slipcore.interfaces import ConnectError, SlipError, StateError

STALL_SECONDS: Final = 60.0
"""How long a write waits for RocksDB to catch up before it fails."""

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05
_MARKS_PER_BUFFER: Final = 64
"""A write buffer takes more memory than the bytes it was given: each holds several marks anyhow."""

_MARKS_KEPT: Final = 1_000
_ALL: Final = 2**62


class Database:
    """A database that one object of one process has open. Any thread may call it.

    After a failed write RocksDB takes no more: the next write closes it and opens it again.
    Numbered marks among the writes show on opening whether a stretch of them is gone.

    Args:
        place: its directory.
        sync: whether writes are on the disk when they return.
        write_buffer_size: bytes.
    """

    def __init__(self, place: Place, *, sync: bool, write_buffer_size: int) -> None:
        self.place = place
        self._sync = sync
        self._write_buffer_size = write_buffer_size
        self._bytes_per_mark = write_buffer_size // _MARKS_PER_BUFFER
        # Reentrant: a collected cache gives its space up in whatever thread, in whatever call.
        self._lock = RLock()
        self._rdict: Rdict | None = None
        self._is_open = False
        self._has_failed = False
        self._last_mark = 0
        self._first_mark = 0
        self._unmarked = 0
        self._write_options = WriteOptions()
        # A stalled write would hold the interpreter's lock, and with it every thread.
        self._write_options.no_slowdown = True

    @property
    def is_open(self) -> bool:
        """Whether it is between `open` and `close`."""
        return self._is_open

    @property
    def rdict(self) -> Rdict:
        """The database object itself, until a write fails or it is closed."""
        return self._rdict if self._rdict is not None else self._opened()

    def open(self) -> None:
        """Claim the directory and open what is in it, or make a new database.

        Raises:
            StateInUseError: another one has it.
            StateFormatError: it is another program's, or of another format.
            StateError: it is damaged, and was moved aside.
            ConnectError: it can't be opened.
        """
        with self._lock:
            if self._is_open:
                return
            self.place.claim()
            try:
                self._load()
            except BaseException:
                self._let_go()
                self.place.release()
                raise
            self._is_open = True

    def close(self) -> None:
        """Close it and give the directory up. May be called twice."""
        with self._lock:
            self._is_open = False
            self._let_go()
            self.place.release()

    def get(self, key: bytes, doing: str) -> bytes | None:
        """The value of a key, or None.

        Args:
            key: as `layout` has it.
            doing: what an error says could not be done.
        """
        try:
            value: bytes | None = self.rdict.get(key)
        except SlipError:
            raise
        except Exception as reason:
            raise self._failure(doing, reason) from reason
        return value

    def scan(
        self,
        start: bytes,
        end: bytes,
        doing: str,
        *,
        backwards: bool = False,
        limit: int = _ALL,
    ) -> list[tuple[bytes, bytes]]:
        """Up to `limit` pairs with start <= key < end in order, or from the far end."""
        rdict = self.rdict
        try:
            return _walk(rdict, start, end, backwards, limit)
        except Exception as reason:
            raise self._failure(doing, reason) from reason

    def write(
        self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes], doing: str
    ) -> None:
        """Write all of it, or nothing.

        Raises:
            StateError: nothing was written.
        """
        puts, deletes = list(puts), list(deletes)
        with self._lock:
            if self._has_failed and self._is_open:
                self._reopen(doing)
            rdict = self.rdict
            deadline = monotonic() + STALL_SECONDS
            pause = _FIRST_PAUSE
            while True:
                try:
                    self._write_once(rdict, puts, deletes)
                except Exception as reason:
                    if not is_stalled(str(reason)):
                        self._has_failed = True
                        raise self._failure(doing, reason) from reason
                    if monotonic() > deadline:
                        raise StateError(
                            f"can't {doing} {self.place.path}: the disk has not kept up with what "
                            f"was written for {STALL_SECONDS:g} s; try again when it is less busy"
                        ) from reason
                else:
                    return
                sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _write_once(
        self, rdict: Rdict, puts: list[tuple[bytes, bytes]], deletes: list[bytes]
    ) -> None:
        batch = WriteBatch(raw_mode=True)  # a batch can be written once, even if that failed
        for key, value in puts:
            batch.put(key, value)
        for key in deletes:
            batch.delete(key)
        unmarked = self._unmarked + batch.size_in_bytes()
        marks = unmarked >= self._bytes_per_mark
        if marks:
            batch.put(mark_key(self._last_mark + 1), pack_mark(self._first_mark))
        rdict.write(batch, self._write_options)
        self._unmarked = 0 if marks else unmarked
        self._last_mark += marks
        if self._sync:
            # Not as an option of the write: only this call lets other threads run meanwhile.
            rdict.flush_wal(True)

    # --- opening --------------------------------------------------------------------------

    def _opened(self) -> Rdict:
        """The database; opened again where that has failed before."""
        with self._lock:
            if not self._is_open:
                raise StateError(f"the {self.place.kind} in {self.place.path} is closed")
            if self._rdict is None:
                self._load()
            assert self._rdict is not None
            return self._rdict

    def _reopen(self, doing: str) -> None:
        self._let_go()
        try:
            self._load()
        except ConnectError as reason:
            raise StateError(f"can't {doing} {self.place.path}: {reason}") from reason

    def _load(self) -> None:
        exists = self.place.prepare()
        options = Options(raw_mode=True)
        options.create_if_missing(not exists)
        # The default, point in time, takes a damaged log for its end: of 2 000 writes 1 003 were
        # left, without an error. This one allows only what a crash leaves, a torn last write.
        options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
        options.set_paranoid_checks(True)
        options.set_write_buffer_size(self._write_buffer_size)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1024 * 1024)
        try:
            # Opened to be written, it deletes the tables that a damaged MANIFEST does not name.
            marks = self._examine(options) if exists else []
            self._rdict = Rdict(str(self.place.path), options)
            self._begin(marks)
        except SlipError:
            self._let_go()
            raise
        except Exception as reason:
            self._let_go()
            raise self._open_error(str(reason)) from reason
        self._unmarked = 0
        self._has_failed = False

    def _examine(self, options: Options) -> list[int]:
        """Look at a database without changing it: is it ours, and are all its writes there?

        A MANIFEST that has lost its end names the older tables only. The log of what is missing
        is deleted, that of what came later is not and is read on top: values of long ago beside
        positions of now, without an error. Each such stretch has a mark in it.

        Returns:
            the marks: all from the first that is kept to the last.
        """
        rdict = Rdict(str(self.place.path), options, access_type=AccessType.read_only(False))
        try:
            title = rdict.get(FORMAT_KEY)
            if title is None:
                raise DamagedError("Corruption: its format is missing")
            if title != self.place.title.encode():
                raise self.place.refuse_format(bytes(title).decode(errors="replace"))
            found = _walk(rdict, MARKS, end_of(MARKS), False, _ALL)
        finally:
            rdict.close()
        if not found:
            raise DamagedError("Corruption: its marks are missing")
        marks = [mark_of(key) for key, _ in found]
        expected = list(range(unpack_mark(found[-1][1]), marks[-1] + 1))
        if marks != expected:
            raise DamagedError(
                f"Corruption: of {len(expected)} marks {len(marks)} are there, so writes between "
                f"older and newer ones are gone"
            )
        return marks

    def _begin(self, marks: list[int]) -> None:
        """Set the first mark of this run; of many old ones only the last is kept."""
        assert self._rdict is not None
        dropped = marks[:-1] if len(marks) > _MARKS_KEPT else []
        kept = marks[len(dropped) :]
        self._last_mark = kept[-1] + 1 if kept else 0
        self._first_mark = kept[0] if kept else 0
        batch = WriteBatch(raw_mode=True)
        for number in dropped:
            batch.delete(mark_key(number))
        batch.put(mark_key(self._last_mark), pack_mark(self._first_mark))
        if kept:
            self._rdict.write(batch)
            return
        batch.put(FORMAT_KEY, self.place.title.encode())
        self._rdict.write(batch)
        # In a table: what a database is must not hang on its log.
        self._rdict.flush()
        self.place.finish()

    def _let_go(self) -> None:
        rdict, self._rdict = self._rdict, None
        if rdict is not None:
            # It flushes first and says if it can't; what was written is in the log already.
            with suppress(Exception):
                rdict.close()

    # --- errors ---------------------------------------------------------------------------

    def _open_error(self, reason: str) -> SlipError:
        if is_locked(reason):
            return self.place.in_use(
                "another program, or by what this one still holds of its database object"
            )
        if is_damaged(reason):
            # What is opened next at this place is another one, and empty: not in this run.
            self._is_open = False
            return self.place.quarantine(reason)
        what = f"can't open the {self.place.kind} in {self.place.path}"
        return ConnectError(advised(what, reason))

    def _failure(self, doing: str, reason: Exception) -> StateError:
        if isinstance(reason, DbClosedError):
            return StateError(f"the {self.place.kind} in {self.place.path} is closed")
        return StateError(advised(f"can't {doing} {self.place.path}", str(reason)))


def _walk(
    rdict: Rdict, start: bytes, end: bytes, backwards: bool, limit: int
) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    iterator = rdict.iter(ReadOptions())
    step = iterator.prev if backwards else iterator.next
    try:
        if backwards:
            iterator.seek_for_prev(end)
            if iterator.valid() and iterator.key() == end:
                iterator.prev()
        else:
            iterator.seek(start)
        while len(found) < limit and iterator.valid():
            key = iterator.key()
            if not start <= key < end:
                break
            found.append((key, iterator.value()))
            step()
        # An iterator that meets a damaged block is at its end, as if nothing came after it.
        iterator.status()
    finally:
        # The traceback of an error would keep it, and it keeps the lock on the directory.
        del iterator, step
    return found
