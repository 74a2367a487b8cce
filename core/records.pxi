# Records of a log, cut into columns; `spgrepl.log.format.parser` describes what comes out.

cdef enum:
    HEAD_V2 = 8
    HEAD_V3 = 9
    # The top three bits of a record's first word, and the top two.
    FORM_V3 = 6
    FORM_V2 = 2
    # Where the text of a record is not a part of its bytes.
    ELSEWHERE = -1
    KIND_SQL = 0x01
    KIND_COMPRESSED = 0x03
    ALGO_LZSS = 1
    PREFIX = 7
    AT_ONCE = 4096

cdef uint32_t crc_tables[8][256]


cdef void make_crc_tables() noexcept:
    cdef uint32_t value
    cdef int byte, step
    for byte in range(256):
        value = byte
        for step in range(8):
            value = value >> 1 ^ (<uint32_t>0xEDB88320 if value & 1 else 0)
        crc_tables[0][byte] = value
    for byte in range(256):
        for step in range(1, 8):
            value = crc_tables[step - 1][byte]
            crc_tables[step][byte] = value >> 8 ^ crc_tables[0][value & 0xFF]


make_crc_tables()


cdef uint32_t crc32(const uint8_t *data, Py_ssize_t size, uint32_t crc) noexcept nogil:
    """What `zlib.crc32` gives, without its call: for a short record that takes longer than the sum."""
    cdef uint32_t low, high
    crc = ~crc
    while size >= 8:
        low = crc ^ word_at(data)
        high = word_at(data + 4)
        crc = (
            crc_tables[7][low & 0xFF] ^ crc_tables[6][low >> 8 & 0xFF]
            ^ crc_tables[5][low >> 16 & 0xFF] ^ crc_tables[4][low >> 24]
            ^ crc_tables[3][high & 0xFF] ^ crc_tables[2][high >> 8 & 0xFF]
            ^ crc_tables[1][high >> 16 & 0xFF] ^ crc_tables[0][high >> 24]
        )
        data += 8
        size -= 8
    while size > 0:
        crc = crc >> 8 ^ crc_tables[0][(crc ^ data[0]) & 0xFF]
        data += 1
        size -= 1
    return ~crc


cdef inline uint32_t word_at(const uint8_t *data) noexcept nogil:
    """A little-endian number of four bytes, at any place; the caller knows that they are there."""
    return data[0] | <uint32_t>data[1] << 8 | <uint32_t>data[2] << 16 | <uint32_t>data[3] << 24


cdef bint is_dml(const uint8_t *sql, Py_ssize_t size) noexcept nogil:
    """Whether a statement begins as one that changes rows does, in one of the three ways to write the word."""
    if size < PREFIX:
        return False
    if sql[0] == c"I":
        return memcmp(sql, b"INSERT ", PREFIX) == 0 or memcmp(sql, b"Insert ", PREFIX) == 0
    if sql[0] == c"U":
        return memcmp(sql, b"UPDATE ", PREFIX) == 0 or memcmp(sql, b"Update ", PREFIX) == 0
    if sql[0] == c"D":
        return memcmp(sql, b"DELETE ", PREFIX) == 0 or memcmp(sql, b"Delete ", PREFIX) == 0
    if sql[0] == c"R":
        return memcmp(sql, b"REPLACE", PREFIX) == 0 or memcmp(sql, b"Replace", PREFIX) == 0
    return (
        memcmp(sql, b"insert ", PREFIX) == 0 or memcmp(sql, b"update ", PREFIX) == 0
        or memcmp(sql, b"delete ", PREFIX) == 0 or memcmp(sql, b"replace", PREFIX) == 0
    )


cdef struct Found:
    # Where the next record begins, how many were found, and how many of them are not plain.
    Py_ssize_t at
    Py_ssize_t count
    Py_ssize_t specials


cdef inline Py_ssize_t common_end(
    const uint8_t *data, Py_ssize_t at, Py_ssize_t size, uint32_t longest, uint8_t kind
) noexcept nogil:
    """Where a record ends that is whole and right, and of format v2 or of v3 and a kind; else 0."""
    cdef uint32_t word, length
    cdef Py_ssize_t head
    if size - at < HEAD_V3:
        return 0
    word = word_at(data + at)
    if word >> 29 == FORM_V3:
        if data[at + HEAD_V2] != kind:
            return 0
        head = HEAD_V3
    elif word >> 30 == FORM_V2:
        head = HEAD_V2
    else:
        return 0
    length = word & (0x1FFFFFFF if head == HEAD_V3 else 0x3FFFFFFF)
    if length > longest or length > size - at - head:
        return 0
    if crc32(data + at + HEAD_V2, head - HEAD_V2 + <Py_ssize_t>length, 0) != word_at(data + at + 4):
        return 0
    return at + head + <Py_ssize_t>length


cdef Found cut(
    const uint8_t *data, Py_ssize_t at, Py_ssize_t size, uint32_t longest, Py_ssize_t index, int64_t *ends,
    int64_t *special,
) noexcept nogil:
    """Cut records of the two common forms, as many as there is room for."""
    cdef Found found
    cdef Py_ssize_t end, head
    found.at, found.count, found.specials = at, 0, 0
    while found.count < AT_ONCE:
        end = common_end(data, found.at, size, longest, KIND_SQL)
        if end == 0:
            break
        head = HEAD_V3 if data[found.at + 3] >= 0xC0 else HEAD_V2
        if not is_dml(data + found.at + head, end - found.at - head):
            special[found.specials] = index + found.count
            found.specials += 1
        ends[found.count] = end
        found.count += 1
        found.at = end
    return found


def cut_records(
    bytes data not None, Py_ssize_t at, Py_ssize_t limit, array.array ends not None, list special not None,
    dict others not None,
):
    """Cut records of the common forms, those that are compressed among them.

    Args:
        data: Bytes of a log.
        at: Where in them a record begins.
        limit: The most bytes of SQL or payload that a record may have.
        ends: Gets where each record ends.
        special: Gets the indices of those that are not plain DML.
        others: Gets the texts that are compressed, by their records' indices.

    Returns:
        Where the first record begins that is not whole, right, and of one of these forms.
    """
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), number, end, index
    cdef uint32_t longest = <uint32_t>max(0, min(limit, 0x1FFFFFFF))
    cdef int64_t *room
    cdef Found found
    if at < 0 or at > size or ends.ob_descr.typecode != c"q":
        raise ValueError("a place outside of the data, or a column of another type")
    room = <int64_t *>malloc(2 * AT_ONCE * sizeof(int64_t))
    if room == NULL:
        raise MemoryError
    try:
        while True:
            index = len(ends)
            if size - at < LONG:
                found = cut(source, at, size, longest, index, room, room + AT_ONCE)
            else:
                with nogil:
                    found = cut(source, at, size, longest, index, room, room + AT_ONCE)
            if found.count:
                array.extend_buffer(ends, <char *>room, found.count)
                for number in range(found.specials):
                    special.append(room[AT_ONCE + number])
                at = found.at
            if found.count == AT_ONCE:
                continue
            end = common_end(source, at, size, longest, KIND_COMPRESSED)
            if end == 0 or source[at + 3] < 0xC0 or end - at < HEAD_V3 + 1 or source[at + HEAD_V3] != ALGO_LZSS:
                return at
            text = expanded(source + at + HEAD_V3 + 1, end - at - HEAD_V3 - 1, limit)
            if text is None:
                return at
            index = len(ends)
            if not is_dml(<const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)):
                special.append(index)
            others[index] = text
            ends.append(end)
            at = end
    finally:
        free(room)
