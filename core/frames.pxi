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


cdef Found take_frames(
    const uint8_t *data, Py_ssize_t at, Py_ssize_t size, uint32_t longest, uint32_t most, int64_t *ends, int64_t *begins
) noexcept nogil:
    """Take frames of records that are not compressed, as many as there is room for."""
    cdef Found found
    cdef Py_ssize_t end, begin
    found.at, found.count, found.specials = at, 0, 0
    while found.count < AT_ONCE:
        end = framed_end(data, found.at, size, longest, most)
        if end <= 0:
            break
        begin = found.at + FRAME_HEAD
        begins[found.count] = begin + (HEAD_V3 if data[begin + 3] >> 5 == FORM_V3 else HEAD_V2)
        ends[found.count] = end
        found.count += 1
        found.at = end
    return found


def cut_frames(
    bytes data not None, Py_ssize_t at, Py_ssize_t limit, Py_ssize_t most, array.array ends not None,
    array.array begins not None, dict others not None,
):
    """Take frames that hold a record of a common form.

    Args:
        data: Bytes of a stream.
        at: Where in them a frame begins.
        limit: The most bytes of SQL or payload that a record may have.
        most: The most bytes that a frame may hold.
        ends: Gets where each frame ends.
        begins: Gets where each record's text begins, -1 for one that is compressed.
        others: Gets the texts that are compressed, by their records' indices.

    Returns:
        Where the first frame begins that is something else, or not whole.
    """
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), end, begin
    cdef uint32_t longest = <uint32_t>max(0, min(limit, 0x1FFFFFFF)), frame = <uint32_t>max(0, min(most, 0x7FFFFFFF))
    cdef int64_t *room
    cdef Found found
    if ends.ob_descr.typecode != c"q" or begins.ob_descr.typecode != c"q":
        raise ValueError("a column of another type")
    if at < 0 or at > size:
        # Behind what is skipped of a long frame.
        return at
    room = <int64_t *>malloc(2 * AT_ONCE * sizeof(int64_t))
    if room == NULL:
        raise MemoryError
    try:
        while True:
            if size - at < LONG:
                found = take_frames(source, at, size, longest, frame, room, room + AT_ONCE)
            else:
                with nogil:
                    found = take_frames(source, at, size, longest, frame, room, room + AT_ONCE)
            if found.count:
                array.extend_buffer(ends, <char *>room, found.count)
                array.extend_buffer(begins, <char *>(room + AT_ONCE), found.count)
                at = found.at
            if found.count == AT_ONCE:
                continue
            end = -framed_end(source, at, size, longest, frame)
            begin = at + FRAME_HEAD + HEAD_V3
            if end <= begin or source[begin] != ALGO_LZSS:
                return at
            text = expanded(source + begin + 1, end - begin - 1, limit)
            if text is None:
                return at
            others[len(ends)] = text
            begins.append(ELSEWHERE)
            ends.append(end)
            at = end
    finally:
        free(room)


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


cdef uint32_t add_held(bytes statement, uint32_t crc):
    """The same for a text that the caller holds; it gives up the lock where that is a long one."""
    cdef const uint8_t *text = <const uint8_t *>PyBytes_AS_STRING(statement)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(statement)
    if size < LONG:
        return add_statement(text, size, crc)
    with nogil:
        crc = add_statement(text, size, crc)
    return crc


cdef Py_ssize_t add_statements(
    const uint8_t *data, const int64_t *begins, const int64_t *ends, Py_ssize_t index, Py_ssize_t stop, uint32_t *crc
) noexcept nogil:
    """Take texts that are a part of the data; returns the index of the first that is not."""
    cdef int64_t begin
    while index < stop:
        begin = begins[index]
        if begin < 0:
            break
        crc[0] = add_statement(data + begin, ends[index] - begin, crc[0])
        index += 1
    return index


def digest_of(statements not None, uint32_t crc):
    """The CRC-32 of statements, each after its length, going on from that of others."""
    cdef Statements held
    if isinstance(statements, Statements):
        held = statements
        return held.digest(crc)
    for statement in statements:
        if type(statement) is not bytes:
            raise TypeError("a statement that is not bytes")
        crc = add_held(statement, crc)
    return crc
