# Rows as canonical SQL text, both ways; `spgrepl.rows` describes it.

cdef enum:
    MOST_DIGITS = 24
    ORIGIN_LENGTH = 30


# -- reading --------------------------------------------------------------------------------------------------


cdef inline Py_ssize_t digits_end(const uint8_t *text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    while at < size and c"0" <= text[at] <= c"9":
        at += 1
    return at


cdef inline bint is_hex(uint8_t byte) noexcept nogil:
    return c"0" <= byte <= c"9" or c"a" <= byte <= c"f"


cdef Py_ssize_t number_end(const uint8_t *text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Where a number ends that begins here; -1 where none does."""
    cdef Py_ssize_t end, after
    if at < size and text[at] == c"-":
        at += 1
    end = digits_end(text, at, size)
    if end == at:
        return -1
    if end < size and text[end] == c".":
        after = digits_end(text, end + 1, size)
        if after > end + 1:
            end = after
    if end < size and text[end] == c"e":
        after = end + 1
        if after < size and (text[after] == c"-" or text[after] == c"+"):
            after += 1
        if digits_end(text, after, size) > after:
            end = digits_end(text, after, size)
    return end


cdef Py_ssize_t literal_end(const uint8_t *text, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Where a literal ends that begins here, as `LITERAL_PATTERN` describes it; -1 where none does."""
    cdef const uint8_t *quote
    cdef Py_ssize_t begin
    if at >= size:
        return -1
    if text[at] == c"'":
        at += 1
        while True:
            quote = <const uint8_t *>memchr(text + at, c"'", size - at)
            if quote == NULL or memchr(text + at, 0, quote - (text + at)) != NULL:
                return -1
            at = quote - text + 1
            if at >= size or text[at] != c"'":
                return at
            at += 1
    if text[at] == c"N":
        return at + 4 if size - at >= 4 and memcmp(text + at, b"NULL", 4) == 0 else -1
    if text[at] == c"x":
        if size - at < 3 or text[at + 1] != c"'":
            return -1
        begin = at = at + 2
        while at < size and is_hex(text[at]):
            at += 1
        return at + 1 if at < size and text[at] == c"'" and (at - begin) % 2 == 0 else -1
    return number_end(text, at, size)


cdef bint is_row(const uint8_t *text, Py_ssize_t size, Py_ssize_t count) noexcept nogil:
    """Whether a text is so many literals, a bracket, and an origin or nothing."""
    cdef Py_ssize_t at = 0, number
    for number in range(count):
        at = literal_end(text, at, size)
        if at < 0 or at >= size or text[at] != (c"," if number < count - 1 else c")"):
            return False
        at += 1
    return at == size or is_origin(text + at, size - at)


cdef bint is_origin(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at
    if size != ORIGIN_LENGTH or memcmp(text, b" /* origin ", 11) != 0 or memcmp(text + 27, b" */", 3) != 0:
        return False
    for at in range(11, 27):
        if not is_hex(text[at]):
            return False
    return True


def insert_rows(list statements not None, Py_ssize_t first, Py_ssize_t last, bytes head not None, Py_ssize_t count):
    """Take the rows of INSERTs that begin alike, as many as follow each other.

    Args:
        statements: Any SQL.
        first: The first of them.
        last: The one before which to stop.
        head: How they begin, up to their values.
        count: How many values each has.

    Returns:
        How many there are, and their rows as one text: ``(1,'x'),(2,'y')``.
    """
    cdef Py_ssize_t index, size = 0, head_size = PyBytes_GET_SIZE(head), length
    cdef const uint8_t *text
    cdef uint8_t *out
    if first < 0 or count < 1:
        raise ValueError("no such row")
    stop = first
    for index in range(first, min(last, len(statements))):
        statement = statements[index]
        if type(statement) is not bytes:
            break
        text, length = <const uint8_t *>PyBytes_AS_STRING(statement), PyBytes_GET_SIZE(statement)
        if length < head_size or memcmp(text, PyBytes_AS_STRING(head), head_size) != 0:
            break
        if not is_row(text + head_size, length - head_size, count):
            break
        size += length - head_size + 2
        stop = index + 1
    if stop == first:
        return 0, b""
    found = PyBytes_FromStringAndSize(NULL, size - 1)
    out = <uint8_t *>PyBytes_AS_STRING(found)
    for index in range(first, stop):
        statement = statements[index]
        # Looked at again: a list may be changed by others.
        if type(statement) is not bytes or PyBytes_GET_SIZE(statement) - head_size + 2 > size:
            raise RuntimeError("the statements have changed")
        length = PyBytes_GET_SIZE(statement) - head_size
        if index > first:
            out[0] = c","
            out += 1
        out[0] = c"("
        memcpy(out + 1, PyBytes_AS_STRING(statement) + head_size, length)
        out += 1 + length
        size -= length + 2
    return stop - first, found


# -- writing --------------------------------------------------------------------------------------------------


cdef class Room:
    """Bytes that grow."""

    cdef uint8_t *bytes
    cdef Py_ssize_t size
    cdef Py_ssize_t used

    def __dealloc__(self):
        free(self.bytes)

    cdef int need(self, Py_ssize_t more) except -1:
        """Make room for so many bytes more."""
        cdef Py_ssize_t size = max(2 * self.size, self.used + more + 256)
        cdef void *grown
        if self.size - self.used >= more:
            return 0
        grown = realloc(self.bytes, size)
        if grown == NULL:
            raise MemoryError
        self.bytes, self.size = <uint8_t *>grown, size
        return 0

    cdef bytes part(self, Py_ssize_t first, Py_ssize_t stop):
        """Some of them, as long as there are so many."""
        if first < 0 or stop < first or stop > self.used:
            raise ValueError("no such bytes")
        return PyBytes_FromStringAndSize(<const char *>self.bytes + first, stop - first)

    cdef int add(self, const void *data, Py_ssize_t size) except -1:
        self.need(size)
        memcpy(self.bytes + self.used, data, size)
        self.used += size
        return 0


cdef int add_integer(Room room, int64_t value) except -1:
    cdef uint8_t digits[MOST_DIGITS]
    cdef int at = MOST_DIGITS
    cdef uint64_t rest = <uint64_t>value if value >= 0 else 0 - <uint64_t>value
    while True:
        at -= 1
        digits[at] = <uint8_t>(c"0" + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if value < 0:
        at -= 1
        digits[at] = c"-"
    return room.add(digits + at, MOST_DIGITS - at)


cdef int add_text(Room room, const uint8_t *text, Py_ssize_t size) except -1:
    """A text between quotes, those in it doubled."""
    cdef const uint8_t *quote
    cdef Py_ssize_t part
    room.add(b"'", 1)
    while True:
        quote = <const uint8_t *>memchr(text, c"'", size)
        if quote == NULL:
            room.add(text, size)
            room.add(b"'", 1)
            return 0
        part = quote - text + 1
        room.add(text, part)
        room.add(b"'", 1)
        text += part
        size -= part


cdef int add_blob(Room room, const uint8_t *data, Py_ssize_t size) except -1:
    cdef const char *hexadecimal = b"0123456789abcdef"
    cdef Py_ssize_t at
    room.add(b"x'", 2)
    room.need(2 * size)
    for at in range(size):
        room.bytes[room.used] = hexadecimal[data[at] >> 4]
        room.bytes[room.used + 1] = hexadecimal[data[at] & 15]
        room.used += 2
    return room.add(b"'", 1)


cdef int add_value(Room room, object value, object otherwise) except -1:
    """A value as canonical text; those that are rare, or no values at all, are the reference's."""
    cdef int overflow = 0
    cdef long long number
    cdef double decimal
    cdef const char *text
    cdef Py_ssize_t size = 0
    if type(value) is int:
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow:
            return add_integer(room, number)
    elif type(value) is str:
        text = PyUnicode_AsUTF8AndSize(value, &size)
        if memchr(text, 0, size) == NULL:
            return add_text(room, <const uint8_t *>text, size)
    elif value is None:
        return room.add(b"NULL", 4)
    elif type(value) is float:
        decimal = value
        if decimal - decimal == 0:  # neither infinite nor NaN
            return add_float(room, decimal)
    elif type(value) is bytes:
        return add_blob(room, <const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    written = otherwise(value)
    text = PyUnicode_AsUTF8AndSize(written, &size)
    return room.add(text, size)


def row_texts(list pieces not None, list columns not None, bytes end not None, otherwise):
    """Statements that have the same pieces before each of their values.

    Args:
        pieces: What stands before the values, in UTF-8.
        columns: As many lists or tuples of values, one value for each statement.
        end: What stands after the last value.
        otherwise: Writes a value that is rare.
    """
    cdef Room room = Room()
    cdef Py_ssize_t index, place, count, width = len(columns)
    if width == 0 or len(pieces) != width:
        raise ValueError("as many pieces are needed as columns")
    for column in columns:
        if type(column) is not tuple and type(column) is not list:
            raise TypeError("a column that is no list")
    # What writes rare values is Python code: nothing that it might change is relied upon.
    heads = tuple(pieces)
    for piece in heads:
        if type(piece) is not bytes:
            raise TypeError("a piece that is not bytes")
    count = len(columns[0])
    found = []
    for index in range(count):
        room.used = 0
        for place in range(width):
            piece = heads[place]
            room.add(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
            add_value(room, columns[place][index], otherwise)
        room.add(PyBytes_AS_STRING(end), PyBytes_GET_SIZE(end))
        found.append(PyBytes_FromStringAndSize(<const char *>room.bytes, room.used))
    return found


def encode_v2_all(list statements not None):
    """Statements as records of format v2, one after the other."""
    cdef Py_ssize_t size = 0, length
    cdef uint8_t *out
    cdef uint32_t word, crc
    for statement in statements:
        if type(statement) is not bytes or PyBytes_GET_SIZE(statement) > 0x1FFFFFFF:
            return None
        size += HEAD_V2 + PyBytes_GET_SIZE(statement)
    found = PyBytes_FromStringAndSize(NULL, size)
    out = <uint8_t *>PyBytes_AS_STRING(found)
    for statement in statements:
        length = PyBytes_GET_SIZE(statement)
        if HEAD_V2 + length > size:
            raise RuntimeError("the statements have changed")
        crc = crc32(<const uint8_t *>PyBytes_AS_STRING(statement), length, 0)
        word = <uint32_t>length | <uint32_t>1 << 31
        put_word(out, word)
        put_word(out + 4, crc)
        memcpy(out + HEAD_V2, PyBytes_AS_STRING(statement), length)
        out += HEAD_V2 + length
        size -= HEAD_V2 + length
    return found


cdef inline void put_word(uint8_t *out, uint32_t word) noexcept nogil:
    out[0], out[1], out[2], out[3] = word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFF, word >> 24
