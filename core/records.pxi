# Records of a log, cut into columns; `spgrepl.log.format.parser` describes what comes out.

cdef enum:
    HEAD_V2 = 8
    HEAD_V3 = 9
    # The top three bits of a record's first word, and the top two.
    FORM_V3 = 6
    FORM_V2 = 2
    # Where the text of a record is not a part of its bytes.
    ELSEWHERE = 0
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


cdef struct Span:
    const uint8_t *text
    Py_ssize_t size


cdef array.array INT64 = array.array("q")


cdef class Statements:
    """The texts of the records of a batch, a sequence of `bytes | None`; each is made when it is asked for.

    Args:
        data: The records, one after the other.
        ends: Where each of them ends.
        others: The texts, or None, of the records that are not of the two common forms, by index.
    """

    cdef bytes data
    cdef dict others
    cdef Py_ssize_t held
    # Where the first record begins, and where each of them ends.
    cdef int64_t before
    cdef int64_t *ends
    # How many bytes stand before each text, `ELSEWHERE` where it is among the others.
    cdef uint8_t *heads

    def __cinit__(self, bytes data not None, array.array ends not None, dict others not None):
        cdef Py_ssize_t count = len(ends), index, end, begin = 0, size = PyBytes_GET_SIZE(data)
        cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t head
        if ends.ob_descr.typecode != c"q":
            raise ValueError("a column of another type")
        self.data, self.others, self.before = data, dict(others), 0
        self.ends, self.heads = NULL, NULL
        self.resize(count)
        memcpy(self.ends, ends.data.as_voidptr, count * sizeof(int64_t))
        for index in range(count):
            end = self.ends[index]
            if end - begin < 4 or end > size:
                raise ValueError("an end outside of the data")
            head = HEAD_V3 if source[begin + 3] >= 0xC0 else HEAD_V2
            if end - begin < head:
                head = ELSEWHERE
            self.heads[index] = <uint8_t>head
            begin = end
        for number, text in self.others.items():
            index = number
            if index < 0 or index >= count or (text is not None and type(text) is not bytes):
                raise ValueError("a text of no record")
            self.heads[index] = ELSEWHERE

    cdef int resize(self, Py_ssize_t count) except -1:
        """Make room for so many, once."""
        free(self.ends)
        free(self.heads)
        self.held = 0
        self.ends = <int64_t *>malloc((count + 1) * sizeof(int64_t))
        self.heads = <uint8_t *>malloc(count + 1)
        if self.ends == NULL or self.heads == NULL:
            raise MemoryError
        self.held = count
        return 0

    def __dealloc__(self):
        free(self.ends)
        free(self.heads)

    cdef bint span(self, Py_ssize_t index, Span *span) except -1:
        """Where a text is; whether there is one. It stays there as long as this object."""
        cdef Py_ssize_t begin
        if index < 0 or index >= self.held:
            raise IndexError("no such record")
        if self.heads[index] == ELSEWHERE:
            text = self.others.get(index)
            if text is None:
                return False
            span.text, span.size = <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
            return True
        begin = (self.ends[index - 1] if index else self.before) + self.heads[index]
        span.text = <const uint8_t *>PyBytes_AS_STRING(self.data) + begin
        span.size = self.ends[index] - begin
        return True

    cdef object text(self, Py_ssize_t index):
        cdef Span span
        if self.heads[index] == ELSEWHERE:
            return self.others.get(index)
        self.span(index, &span)
        return PyBytes_FromStringAndSize(<const char *>span.text, span.size)

    def __len__(self):
        return self.held

    def __getitem__(self, where):
        cdef Py_ssize_t index
        if isinstance(where, slice):
            return [self.text(index) for index in range(*where.indices(self.held))]
        index = where
        if index < 0:
            index += self.held
        if index < 0 or index >= self.held:
            raise IndexError("no such record")
        return self.text(index)

    def __iter__(self):
        cdef Py_ssize_t index
        for index in range(self.held):
            yield self.text(index)

    def __eq__(self, other):
        return list(self) == list(other) if isinstance(other, (Statements, list)) else NotImplemented

    __hash__ = None

    def __repr__(self):
        return repr(list(self))

    def __contains__(self, text):
        return self.find(text) >= 0

    def index(self, text, first=0, stop=None):
        """The index of the first record that holds a text."""
        cdef Py_ssize_t found
        first, stop, _ = slice(first, stop).indices(self.held)
        found = self.find(text, first, stop)
        if found < 0:
            raise ValueError(f"{text!r} is not in the list")
        return found

    def count(self, text):
        """How many records hold a text."""
        return list(self).count(text)

    cpdef Py_ssize_t find(self, text, Py_ssize_t first=0, Py_ssize_t stop=-1) except -2:
        """The index of the first record that holds a text; -1 where none does."""
        cdef Span wanted, span
        cdef Py_ssize_t index
        cdef bint there
        if text is not None and type(text) is not bytes:
            return -1
        wanted.text, wanted.size = NULL, 0
        if text is not None:
            wanted.text, wanted.size = <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        for index in range(max(first, 0), self.held if stop < 0 else min(stop, self.held)):
            there = self.span(index, &span)
            if not there:
                if text is None:
                    return index
            elif text is not None and span.size == wanted.size and memcmp(span.text, wanted.text, span.size) == 0:
                return index
        return -1

    def part(self, Py_ssize_t first, Py_ssize_t stop):
        """The texts from one to before another."""
        cdef Statements made
        cdef Py_ssize_t index
        if first < 0 or stop > self.held or first > stop:
            raise IndexError("no such record")
        made = Statements.__new__(Statements, self.data, array.clone(INT64, 0, False), {})
        made.resize(stop - first)
        made.before = self.ends[first - 1] if first else self.before
        memcpy(made.ends, self.ends + first, (stop - first) * sizeof(int64_t))
        memcpy(made.heads, self.heads + first, stop - first)
        made.others = {index - first: text for index, text in self.others.items() if first <= index < stop}
        return made

    def framed(self, Py_ssize_t first, Py_ssize_t stop):
        """The records from one to before another, each as a frame of its own."""
        if first < 0 or stop > self.held:
            raise IndexError("no such record")
        return framed(<const uint8_t *>PyBytes_AS_STRING(self.data), self.before, self.ends, first, stop)

    def containing(self, bytes byte not None, Py_ssize_t stop):
        """The indices of the records before `stop` whose text holds a byte."""
        cdef Span span
        cdef Py_ssize_t index
        cdef int wanted = byte[0]
        found = []
        for index in range(min(stop, self.held)):
            if self.span(index, &span) and memchr(span.text, wanted, span.size) != NULL:
                found.append(index)
        return found

    def ending(self, bytes end not None):
        """The indices of the records whose text ends so."""
        cdef Span span
        cdef Py_ssize_t index, size = PyBytes_GET_SIZE(end)
        cdef const char *wanted = PyBytes_AS_STRING(end)
        found = []
        for index in range(self.held):
            if (
                self.span(index, &span)
                and span.size >= size
                and memcmp(span.text + span.size - size, wanted, size) == 0
            ):
                found.append(index)
        return found
