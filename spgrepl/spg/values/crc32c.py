"""CRC-32C (Castagnoli): by Google's library where it is installed, else by a table, which is far slower."""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78


def _entry(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ _POLYNOMIAL if number & 1 else number >> 1
    return number


_TABLE = tuple(_entry(number) for number in range(256))


def crc32c_by_table(data: bytes, crc: int = 0) -> int:
    """The checksum of bytes, going on from that of the bytes before them."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


try:
    from google_crc32c import extend
except ImportError:
    # There is none for this machine's processor.
    crc32c = crc32c_by_table
else:

    def crc32c(data: bytes, crc: int = 0) -> int:
        """The checksum of bytes, going on from that of the bytes before them."""
        return int(extend(crc, data))


__all__ = ["crc32c", "crc32c_by_table"]
