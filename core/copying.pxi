# Rows as PostgreSQL's COPY takes them, as lines or binary; `spgrepl.postgresql.copying.row_lines` describes it.

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


cdef int add_big_endian(Room room, uint64_t value, int size) except -1:
    cdef int place
    room.need(size)
    for place in range(size):
        room.bytes[room.used + place] = <uint8_t>(value >> 8 * (size - 1 - place))
    room.used += size
    return 0


cdef int add_sized(Room room, const void *data, Py_ssize_t size) except -1:
    """Bytes with their number before them; more than the server takes in one row are its business to refuse."""
    add_big_endian(room, <uint64_t>size, 4)
    return room.add(data, size)


cdef int set_size(Room room, Py_ssize_t start) except -1:
    """Write how many bytes came after the place that was left for it."""
    cdef Py_ssize_t end = room.used
    room.used = start
    add_big_endian(room, <uint64_t>(end - start - 4), 4)
    room.used = end
    return 0


cdef bint add_copied(Room room, int code, object value) except -1:
    """A value as a line has it; False for one that is rare, or does not fit."""
    cdef int kind = code & ~TAKES_NO_NULL
    cdef long long number
    cdef const char *text
    cdef Py_ssize_t size = 0
    if value is None:
        if code & TAKES_NO_NULL:
            return False
        room.add(b"\\N", 2)
        return True
    if type(value) is int:
        if not fitting_integer(kind, value, &number):
            return False
        if kind == c"b":
            room.add(b"t" if number else b"f", 1)
        else:
            add_integer(room, number)
        return True
    if type(value) is float:
        if not is_fitting_float(kind, value):
            return False
        add_float(room, value)
        return True
    if type(value) is str:
        text = fitting_text(kind, value, &size)
        if text == NULL:
            return False
        add_copied_text(room, <const uint8_t *>text, size)
        return True
    if type(value) is bytes and kind == c"x":
        add_copied_blob(room, <const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return True
    return False


cdef bint add_binary(Room room, int code, object value) except -1:
    """A value as a binary COPY has it, its size before it; False for one that is rare, or does not fit."""
    cdef int kind = code & ~TAKES_NO_NULL
    cdef long long number
    cdef double real
    cdef uint64_t bits
    cdef const char *text
    cdef Py_ssize_t size = 0, start
    if value is None:
        if code & TAKES_NO_NULL:
            return False
        add_big_endian(room, 0xFFFFFFFF, 4)
        return True
    if type(value) is int:
        if not fitting_integer(kind, value, &number):
            return False
        if kind == c"f":
            real = <double>number
            memcpy(&bits, &real, 8)
            number = <long long>bits
        if kind == c"T":
            start = room.used
            add_big_endian(room, 0, 4)
            add_integer(room, number)
            set_size(room, start)
            return True
        size = 1 if kind == c"b" else 2 if kind == c"2" else 4 if kind == c"4" else 8
        add_big_endian(room, <uint64_t>size, 4)
        add_big_endian(room, <uint64_t>number, <int>size)
        return True
    if type(value) is float:
        if not is_fitting_float(kind, value):
            return False
        if kind == c"T":
            start = room.used
            add_big_endian(room, 0, 4)
            add_float(room, value)
            set_size(room, start)
            return True
        real = value
        memcpy(&bits, &real, 8)
        add_big_endian(room, 8, 4)
        add_big_endian(room, bits, 8)
        return True
    if type(value) is str:
        text = fitting_text(kind, value, &size)
        if text == NULL:
            return False
        add_sized(room, text, size)
        return True
    if type(value) is bytes and kind == c"x":
        add_sized(room, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return True
    return False


cdef bint fitting_integer(int kind, object value, long long *number) except -1:
    """Whether an integer fits a column of a kind; it is put into `number`."""
    cdef int overflow = 0
    number[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or kind == c"t" or kind == c"x":
        return False
    if kind == c"b":
        return number[0] == 0 or number[0] == 1
    if kind == c"2":
        return -(1 << 15) <= number[0] < 1 << 15
    if kind == c"4":
        return -(<long long>1 << 31) <= number[0] < <long long>1 << 31
    if kind == c"f":
        return -(<long long>1 << 53) <= number[0] <= <long long>1 << 53
    return True


cdef bint is_fitting_float(int kind, double real) noexcept:
    if not isfinite(real) or kind != c"f" and kind != c"n" and kind != c"T":
        return False
    return not (kind == c"n" and real == 0 and signbit(real))


cdef const char *fitting_text(int kind, object value, Py_ssize_t *size) except? NULL:
    """A text in UTF-8; NULL where it does not fit a column of a kind."""
    cdef const char *text
    if kind != c"t" and kind != c"T":
        return NULL
    text = PyUnicode_AsUTF8AndSize(value, size)
    return NULL if memchr(text, 0, size[0]) != NULL else text


def copy_rows(bytes codes not None, rows, Py_ssize_t most, bint binary):
    """Write rows as COPY takes them.

    Args:
        codes: A code for each column.
        rows: An iterator of tuples of values.
        most: So many bytes are enough.
        binary: Whether they are written as a binary COPY has them; else as lines.

    Returns:
        What is written, how many rows there are, and the row that came then and is not written; None where there
        is none.
    """
    cdef Room room = Room()
    cdef Py_ssize_t count = 0, place, width = PyBytes_GET_SIZE(codes), start
    cdef const uint8_t *code = <const uint8_t *>PyBytes_AS_STRING(codes)
    cdef bint fits
    if width == 0:
        raise ValueError("a table without columns")
    for row in rows:
        if type(row) is not tuple or len(row) != width:
            raise TypeError("a row that is no tuple of as many values as there are columns")
        start = room.used
        if binary:
            add_big_endian(room, <uint64_t>width, 2)
        for place in range(width):
            if binary:
                fits = add_binary(room, code[place], (<tuple>row)[place])
            else:
                if place:
                    room.add(b"\t", 1)
                fits = add_copied(room, code[place], (<tuple>row)[place])
            if not fits:
                return PyBytes_FromStringAndSize(<const char *>room.bytes, start), count, row
        if not binary:
            room.add(b"\n", 1)
        count += 1
        if room.used >= most:
            break
    return PyBytes_FromStringAndSize(<const char *>room.bytes, room.used), count, None
