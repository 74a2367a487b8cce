# Whose records are, judged by their first bytes; `spgrepl.catalogue.owners.owner` describes how.

cdef enum:
    BLANK_FROM = 13
    BLANK_TO = 256
    AFTER_BLANK = 5


cdef struct Look:
    bint plain
    bint ascii


cdef Look look_at(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """Whether a text is one statement for sure, and ASCII."""
    cdef Look look
    cdef uint8_t high = 0, several = 0
    cdef Py_ssize_t at
    for at in range(size):
        high |= text[at]
        several |= text[at] == c";"
    look.plain, look.ascii = several == 0, high < 0x80
    return look


cdef Py_ssize_t first_bytes(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """How many bytes reach to the first blank after the shortest INSERT INTO, and a few on; 0 where there is none."""
    cdef Py_ssize_t at
    for at in range(BLANK_FROM, min(size, BLANK_TO)):
        if text[at] == c" ":
            return min(size, at + AFTER_BLANK)
    return 0


cdef Py_ssize_t target_bytes(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """How many bytes reach to what ends a target in canonical text: a bracket, or the third blank; 0 without."""
    cdef Py_ssize_t at
    cdef int blanks = 0
    for at in range(min(size, BLANK_TO)):
        if text[at] == c"(":
            return at + 1
        if text[at] == c" ":
            blanks += 1
            if blanks == 3:
                return at + 1 if text[0] == c"U" else min(size, at + 2)
    return 0


def known_owners(Statements sql not None, Py_ssize_t first, Py_ssize_t stop, dict known not None, list found not None):
    """Look up whose records are by their first bytes.

    Args:
        sql: The records' texts.
        first: The first record.
        stop: The one after the last.
        known: The owners of statements that begin with some bytes, whatever follows them.
        found: Gets the owners, one for each record.

    Returns:
        The first record that is not settled by this: with a semicolon or without a text, not UTF-8, or not known.
    """
    cdef Span span
    cdef Look look
    cdef Py_ssize_t index, size, last_size = 0
    cdef const uint8_t *last = NULL
    owner = key = None
    for index in range(first, stop):
        if not sql.span(index, &span):
            return index
        look = look_at(span.text, span.size)
        if not look.plain or not (look.ascii or is_utf8(span.text, span.size)):
            return index
        if last != NULL and span.size >= last_size and memcmp(span.text, last, last_size) == 0:
            found.append(owner)
            continue
        last = NULL
        for size in (target_bytes(span.text, span.size), first_bytes(span.text, span.size)):
            if size:
                key = PyBytes_FromStringAndSize(<const char *>span.text, size)
                owner = known.get(key)
                if owner is not None:
                    # Held by `key`.
                    last, last_size = <const uint8_t *>PyBytes_AS_STRING(key), size
                    break
        else:
            return index
        found.append(owner)
    return stop


cdef bint is_utf8(const uint8_t *text, Py_ssize_t size) except -1:
    try:
        PyUnicode_DecodeUTF8(<const char *>text, size, NULL)
    except UnicodeDecodeError:
        return False
    return True
