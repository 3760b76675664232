"""Reads what Wasm binaries are made of: bytes, LEB128 numbers, names, sections.

Rules: pure; the input is untrusted, every length is checked before use, and nothing but
`InvalidArgumentError` leaves this module.
"""

from shim.errdefs import InvalidArgumentError


class Reader:
    """Reads a binary or one section of it; never beyond its end."""

    def __init__(self, data: bytes, offset: int, end: int, what: str) -> None:
        """Read `data` from `offset` to `end`; `what` it is stands in the errors."""
        self._data = data
        self._offset = offset
        self._end = end
        self._what = what

    def at_end(self) -> bool:
        """Whether everything was read."""
        return self._offset == self._end

    def byte(self) -> int:
        """Read one byte."""
        if self._offset >= self._end:
            raise InvalidArgumentError(f"{self._what} ends in the middle of a section")
        self._offset += 1
        return self._data[self._offset - 1]

    def u32(self) -> int:
        """Read an unsigned LEB128 number of at most 32 bits."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if value > 0xFFFFFFFF:
                    break
                return value
        raise InvalidArgumentError(f"{self._what} holds a number of more than 32 bits")

    def sub(self, size: int) -> "Reader":
        """Return a reader of the next `size` bytes and step over them."""
        start = self._step_over(size)
        return Reader(self._data, start, self._offset, self._what)

    def text(self) -> str:
        """Read a name: its length in bytes, then UTF-8."""
        start = self._step_over(self.u32())
        try:
            return self._data[start : self._offset].decode()
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(f"{self._what} holds a name that is not UTF-8") from error

    def _step_over(self, size: int) -> int:
        start = self._offset
        if size > self._end - start:
            raise InvalidArgumentError(f"{self._what} ends in the middle of a section")
        self._offset = start + size
        return start

    def skip_leb(self, max_bytes: int) -> None:
        """Step over a LEB128 number of any kind, of at most so many bytes."""
        for _ in range(max_bytes):
            if not self.byte() & 0x80:
                return
        raise InvalidArgumentError(f"{self._what} holds a number of more than {max_bytes} bytes")
