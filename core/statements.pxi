# The texts of many records, each made when it is asked for; `spgrepl.compiled.texts` says what is asked of them.

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
        begins: Where each text begins, -1 for one of the others; None where the records stand back to back.
    """

    cdef bytes data
    cdef dict others
    cdef Py_ssize_t held
    # Where the first record begins, and where each of them ends; negative where they do not stand back to back.
    cdef int64_t before
    cdef int64_t *ends
    # Where each text begins, `ELSEWHERE` where it is among the others.
    cdef int64_t *begins

    def __cinit__(
        self, bytes data not None, array.array ends not None, dict others not None, array.array begins=None
    ):
        cdef Py_ssize_t count = len(ends), index, end, begin = 0, size = PyBytes_GET_SIZE(data)
        cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t head
        if ends.ob_descr.typecode != c"q" or (begins is not None and begins.ob_descr.typecode != c"q"):
            raise ValueError("a column of another type")
        if begins is not None and len(begins) != count:
            raise ValueError("columns of different lengths")
        self.data, self.others, self.before = data, dict(others), 0
        self.ends, self.begins = NULL, NULL
        self.resize(count)
        memcpy(self.ends, ends.data.as_voidptr, count * sizeof(int64_t))
        if begins is None:
            for index in range(count):
                end = self.ends[index]
                if end - begin < 4 or end > size:
                    raise ValueError("an end outside of the data")
                head = HEAD_V3 if source[begin + 3] >= 0xC0 else HEAD_V2
                self.begins[index] = ELSEWHERE if end - begin < head else begin + head
                begin = end
        else:
            self.before = ELSEWHERE
            memcpy(self.begins, begins.data.as_voidptr, count * sizeof(int64_t))
            for index in range(count):
                end = self.ends[index]
                if self.begins[index] < ELSEWHERE or self.begins[index] > end or end < 0 or end > size:
                    raise ValueError("a text outside of the data")
        for number, text in self.others.items():
            index = number
            if index < 0 or index >= count or (text is not None and type(text) is not bytes):
                raise ValueError("a text of no record")
            self.begins[index] = ELSEWHERE

    cdef int resize(self, Py_ssize_t count) except -1:
        """Make room for so many, once."""
        free(self.ends)
        free(self.begins)
        self.held = 0
        self.ends = <int64_t *>malloc((count + 1) * sizeof(int64_t))
        self.begins = <int64_t *>malloc((count + 1) * sizeof(int64_t))
        if self.ends == NULL or self.begins == NULL:
            raise MemoryError
        self.held = count
        return 0

    def __dealloc__(self):
        free(self.ends)
        free(self.begins)

    cdef bint span(self, Py_ssize_t index, Span *span) except -1:
        """Where a text is; whether there is one. It stays there as long as this object."""
        cdef Py_ssize_t begin
        if index < 0 or index >= self.held:
            raise IndexError("no such record")
        begin = self.begins[index]
        if begin == ELSEWHERE:
            text = self.others.get(index)
            if text is None:
                return False
            span.text, span.size = <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
            return True
        span.text = <const uint8_t *>PyBytes_AS_STRING(self.data) + begin
        span.size = self.ends[index] - begin
        return True

    cdef object text(self, Py_ssize_t index):
        cdef Span span
        if self.begins[index] == ELSEWHERE:
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

    def __setitem__(self, Py_ssize_t index, bytes text not None):
        if index < 0 or index >= self.held:
            raise IndexError("no such record")
        self.others[index] = text
        self.begins[index] = ELSEWHERE

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
        made.before = self.ends[first - 1] if first and self.before >= 0 else self.before
        memcpy(made.ends, self.ends + first, (stop - first) * sizeof(int64_t))
        memcpy(made.begins, self.begins + first, (stop - first) * sizeof(int64_t))
        made.others = {index - first: text for index, text in self.others.items() if first <= index < stop}
        return made

    def framed(self, Py_ssize_t first, Py_ssize_t stop):
        """The records from one to before another, each as a frame of its own."""
        if first < 0 or stop > self.held:
            raise IndexError("no such record")
        if self.before < 0:
            raise ValueError("these records do not stand back to back")
        return framed(<const uint8_t *>PyBytes_AS_STRING(self.data), self.before, self.ends, first, stop)

    cdef uint32_t digest(self, uint32_t crc) except? 0:
        """The CRC-32 of the texts, each after its length, going on from another."""
        cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(self.data)
        cdef Py_ssize_t index = 0
        cdef bint quick = PyBytes_GET_SIZE(self.data) < LONG
        while index < self.held:
            if quick:
                index = add_statements(source, self.begins, self.ends, index, self.held, &crc)
            else:
                with nogil:
                    index = add_statements(source, self.begins, self.ends, index, self.held, &crc)
            if index < self.held:
                # Held here: another may take its place while the lock is given up.
                text = self.others.get(index)
                if text is None:
                    raise TypeError("a record without a statement")
                crc = add_held(text, crc)
                index += 1
        return crc

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
