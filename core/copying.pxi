# Rows as lines of PostgreSQL's COPY; `spgrepl.postgresql.copying.row_lines` describes it.

cdef extern from "math.h":
    bint isfinite(double value) nogil
    bint signbit(double value) nogil

cdef enum:
    TAKES_NO_NULL = 0x80


cdef int add_copied_text(Room room, const uint8_t *text, Py_ssize_t size) except -1:
    """A text in which what means more to COPY is escaped; it may take twice as many bytes."""
    cdef Py_ssize_t at
    cdef uint8_t byte
    cdef uint8_t *out
    room.need(2 * size)
    out = room.bytes + room.used
    for at in range(size):
        byte = text[at]
        if byte == c"\\" or c"\t" <= byte <= c"\r" and byte != 11 and byte != 12:
            out[0] = c"\\"
            out += 1
            byte = c"t" if byte == c"\t" else c"n" if byte == c"\n" else c"r" if byte == c"\r" else byte
        out[0] = byte
        out += 1
    room.used = out - room.bytes
    return 0


cdef int add_copied_blob(Room room, const uint8_t *data, Py_ssize_t size) except -1:
    cdef const char *hexadecimal = b"0123456789abcdef"
    cdef Py_ssize_t at
    room.add(b"\\\\x", 3)
    room.need(2 * size)
    for at in range(size):
        room.bytes[room.used] = hexadecimal[data[at] >> 4]
        room.bytes[room.used + 1] = hexadecimal[data[at] & 15]
        room.used += 2
    return 0


cdef bint add_copied(Room room, int code, object value) except -1:
    """A value as COPY takes it; False for one that is rare, or does not fit."""
    cdef int overflow = 0, kind = code & ~TAKES_NO_NULL
    cdef long long number
    cdef double real
    cdef const char *text
    cdef Py_ssize_t size = 0
    if value is None:
        if code & TAKES_NO_NULL:
            return False
        room.add(b"\\N", 2)
        return True
    if type(value) is int:
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow:
            return False
        if kind == c"b":
            if number != 0 and number != 1:
                return False
            room.add(b"t" if number else b"f", 1)
            return True
        if kind == c"2" and not -(1 << 15) <= number < 1 << 15:
            return False
        if kind == c"4" and not -(<long long>1 << 31) <= number < <long long>1 << 31:
            return False
        if kind == c"f" and not -(<long long>1 << 53) <= number <= <long long>1 << 53:
            return False
        if kind == c"t" or kind == c"x":
            return False
        add_integer(room, number)
        return True
    if type(value) is float:
        real = value
        if not isfinite(real) or kind != c"f" and kind != c"n" and kind != c"T":
            return False
        if kind == c"n" and real == 0 and signbit(real):
            return False
        add_float(room, real)
        return True
    if type(value) is str:
        if kind != c"t" and kind != c"T":
            return False
        text = PyUnicode_AsUTF8AndSize(value, &size)
        if memchr(text, 0, size) != NULL:
            return False
        add_copied_text(room, <const uint8_t *>text, size)
        return True
    if type(value) is bytes and kind == c"x":
        add_copied_blob(room, <const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return True
    return False


def copy_lines(bytes codes not None, rows, Py_ssize_t most):
    """Write rows as lines of COPY.

    Args:
        codes: A code for each column.
        rows: An iterator of tuples of values.
        most: So many bytes are enough.

    Returns:
        The lines, how many there are, and the row that came then and is not written; None where there is none.
    """
    cdef Room room = Room()
    cdef Py_ssize_t count = 0, place, width = PyBytes_GET_SIZE(codes), start
    cdef const uint8_t *code = <const uint8_t *>PyBytes_AS_STRING(codes)
    if width == 0:
        raise ValueError("a table without columns")
    for row in rows:
        if type(row) is not tuple or len(row) != width:
            raise TypeError("a row that is no tuple of as many values as there are columns")
        start = room.used
        for place in range(width):
            if place:
                room.add(b"\t", 1)
            if not add_copied(room, code[place], (<tuple>row)[place]):
                return PyBytes_FromStringAndSize(<const char *>room.bytes, start), count, row
        room.add(b"\n", 1)
        count += 1
        if room.used >= most:
            break
    return PyBytes_FromStringAndSize(<const char *>room.bytes, room.used), count, None
