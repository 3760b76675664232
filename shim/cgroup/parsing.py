"""From the few forms in which the kernel writes numbers to the fields of messages.

Rules: pure; a line that no kernel writes today is passed over, never an error: one odd counter must
not cost a node its statistics.
"""

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

UNLIMITED = (1 << 64) - 1
"""What `max` is as a number: the largest that a message can carry."""


def read_number(text: str) -> int | None:
    """A decimal number of at most 64 bits, or "max"; None where it is neither."""
    word = text.strip()
    if word == "max":
        return UNLIMITED
    # Bounded before it is parsed: Python refuses to convert thousands of digits.
    if not (word.isascii() and word.isdigit()) or len(word) > 20:
        return None
    value = int(word)
    return value if value <= UNLIMITED else None


def read_pairs(text: str) -> dict[str, int]:
    """The numbers of a flat keyed file, "KEY VALUE" in each line."""
    pairs: dict[str, int] = {}
    for line in text.splitlines():
        key, _, word = line.partition(" ")
        value = read_number(word)
        if value is not None:
            pairs[key] = value
    return pairs


def number_in(texts: Mapping[str, str], name: str, unlimited: int = UNLIMITED) -> int:
    """The number that a file holds; 0 where it is not there, `unlimited` for "max"."""
    text = texts.get(name, "")
    return unlimited if text.strip() == "max" else read_number(text) or 0


def fill(message: Message, values: Mapping[str, int]) -> None:
    """Set those fields of a message, integers all, whose names are among the keys."""
    for field in message.DESCRIPTOR.fields:
        if field.cpp_type == FieldDescriptor.CPPTYPE_UINT64 and field.name in values:
            setattr(message, field.name, values[field.name])


def huge_page_sizes(names: Iterable[str]) -> list[str]:
    """The sizes, "2MB", that files such as `hugetlb.2MB.max` name; those of reservations apart."""
    parts = (name.split(".") for name in names)
    return sorted({part[1] for part in parts if len(part) == 3 and part[0] == "hugetlb"})
