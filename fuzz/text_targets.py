"""Targets that read other files and text."""

from __future__ import annotations

import sqlite3
import struct
from zlib import crc32

from fuzz.promises import Broken, equal
from spgrepl.errors import ManifestError
from spgrepl.segments.manifest import decode_manifest, encode_manifest
from spgrepl.text.sqltext import split_statements, tokenize


def manifest(data: bytes) -> None:
    """Decode any bytes as a manifest, as they are and with the checksum put right."""
    for content in (data, data[:-4] + struct.pack("<I", crc32(data[:-4]))):
        try:
            found = decode_manifest(content)
        except ManifestError:
            continue
        equal("encoded again", encode_manifest(found), content)


def sqltext(data: bytes) -> None:
    """Cut any text into tokens and statements, and ask SQLite whether these are whole."""
    text = data.decode("utf-8", "replace")
    equal("tokens", "".join(token.text for token in tokenize(text)), text)
    statements = split_statements(text)
    for statement in statements:
        equal("split again", split_statements(statement), [statement])
    if "\0" not in text:
        for statement in statements[:-1]:
            if not sqlite3.complete_statement(statement + ";"):
                raise Broken(f"not a whole statement: {statement!r}")
