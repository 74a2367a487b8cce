# Frames of one record each, both ways; `spgrepl.wire.record_frames` describes them.

cdef enum:
    FRAME_HEAD = 5
    FRAME_WAL = 0


cdef Py_ssize_t framed_end(const uint8_t *data, Py_ssize_t at, Py_ssize_t size, uint32_t longest, uint32_t most) noexcept nogil:
    """Where a frame ends that is whole and holds one record of a common form; negative for a compressed one, else 0."""
    cdef uint32_t length
    cdef Py_ssize_t end
    if size - at < FRAME_HEAD or data[at] != FRAME_WAL:
        return 0
    length = word_at(data + at + 1)
    if length > most or length > size - at - FRAME_HEAD:
        return 0
    at += FRAME_HEAD
    end = common_end(data, at, at + <Py_ssize_t>length, longest, KIND_SQL)
    if end == at + <Py_ssize_t>length:
        return end
    # A frame may hold less than the word that says the form.
    if end == 0 and length >= 4 and data[at + 3] >> 5 == FORM_V3:
        end = common_end(data, at, at + <Py_ssize_t>length, longest, KIND_COMPRESSED)
        if end == at + <Py_ssize_t>length:
            return -end
    return 0


def cut_frames(
    bytes data not None, Py_ssize_t at, Py_ssize_t limit, Py_ssize_t most, list ends not None, list sql not None
):
    """Take frames that hold a record of a common form.

    Args:
        data: Bytes of a stream.
        at: Where in them a frame begins.
        limit: The most bytes of SQL or payload that a record may have.
        most: The most bytes that a frame may hold.
        ends: Gets where each frame ends.
        sql: Gets the records' texts.

    Returns:
        Where the first frame begins that is something else, or not whole.
    """
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), end, begin
    cdef uint32_t longest = <uint32_t>max(0, min(limit, 0x1FFFFFFF)), frame = <uint32_t>max(0, min(most, 0x7FFFFFFF))
    if at < 0 or at > size:
        return at
    while True:
        end = framed_end(source, at, size, longest, frame)
        if end == 0:
            return at
        begin = at + FRAME_HEAD
        if end > 0:
            begin += HEAD_V3 if source[begin + 3] >> 5 == FORM_V3 else HEAD_V2
            text = PyBytes_FromStringAndSize(<const char *>source + begin, end - begin)
        else:
            end = -end
            begin += HEAD_V3
            if end == begin or source[begin] != ALGO_LZSS:
                return at
            text = expanded(source + begin + 1, end - begin - 1, limit)
            if text is None:
                return at
        sql.append(text)
        ends.append(end)
        at = end


cdef bytes framed(const uint8_t *data, int64_t before, const int64_t *ends, Py_ssize_t first, Py_ssize_t stop):
    """Records as frames of their own; the caller knows that they are there, and that the ends rise."""
    cdef Py_ssize_t begin = ends[first - 1] if first else before, end, index, length
    cdef bytes made
    cdef uint8_t *out
    if first >= stop:
        return b""
    made = PyBytes_FromStringAndSize(NULL, ends[stop - 1] - begin + FRAME_HEAD * (stop - first))
    out = <uint8_t *>PyBytes_AS_STRING(made)
    for index in range(first, stop):
        end = ends[index]
        length = end - begin
        out[0] = FRAME_WAL
        out[1], out[2], out[3], out[4] = length & 0xFF, length >> 8 & 0xFF, length >> 16 & 0xFF, length >> 24 & 0xFF
        memcpy(out + FRAME_HEAD, data + begin, length)
        out += FRAME_HEAD + length
        begin = end
    return made


cdef uint32_t add_statement(const uint8_t *text, Py_ssize_t size, uint32_t crc) noexcept nogil:
    cdef uint8_t length[4]
    length[0], length[1], length[2], length[3] = size & 0xFF, size >> 8 & 0xFF, size >> 16 & 0xFF, size >> 24 & 0xFF
    return crc32(text, size, crc32(length, 4, crc))


def digest_of(statements not None, uint32_t crc):
    """The CRC-32 of statements, each after its length, going on from that of others."""
    cdef Py_ssize_t index
    cdef Span span
    cdef Statements held
    if isinstance(statements, Statements):
        held = statements
        for index in range(held.held):
            if not held.span(index, &span):
                raise TypeError("a record without a statement")
            crc = add_statement(span.text, span.size, crc)
        return crc
    for statement in statements:
        if type(statement) is not bytes:
            raise TypeError("a statement that is not bytes")
        crc = add_statement(<const uint8_t *>PyBytes_AS_STRING(statement), PyBytes_GET_SIZE(statement), crc)
    return crc
