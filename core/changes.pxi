# Rows as SQLite reports them, written down as records; `spgrepl.primary.changes.row_run` is the reference.

from cpython.mem cimport PyMem_Free

cdef extern from "Python.h":
    char *PyOS_double_to_string(double value, char format, int precision, int flags, int *kind) except NULL
    int Py_DTSF_ADD_DOT_0

cdef enum:
    OF_DELETE = 9
    OF_INSERT = 18
    OF_UPDATE = 23
    # Longer statements that stand alone are compressed, where that pays.
    SHORT = 256
    # A group of requests that is longer is not kept here.
    MOST_OF_GROUP = 1 << 20

cdef bytes BRACKET_BEGIN = b"\x05\x00\x00\x80" + crc32(b"BEGIN", 5, 0).to_bytes(4, "little") + b"BEGIN"
cdef bytes BRACKET_COMMIT = b"\x06\x00\x00\x80" + crc32(b"COMMIT", 6, 0).to_bytes(4, "little") + b"COMMIT"


cdef class RowPlan:
    """How the rows of a table are written.

    Args:
        table: The table's name.
        insert_head: An INSERT up to its values.
        update_head: An UPDATE up to its first column.
        delete_head: A DELETE up to its condition.
        columns: What stands before the value of each column in an UPDATE.
        places: Where the value of each column stands in a row.
        where: What stands before each value of the key.
        keys: Where the values of the key stand in a row.
        by_number: Whether the row's number is the key.
        number_first: Whether an INSERT names the row's number first.
        counted: Whether the highest number of a new row is to be known.
    """

    cdef str table
    cdef bytes insert_head, update_head, delete_head
    cdef tuple columns, places, where, keys
    cdef bint by_number, number_first, counted

    def __init__(
        self, str table not None, bytes insert_head not None, bytes update_head not None, bytes delete_head not None,
        columns, places, where, keys, bint by_number, bint number_first, bint counted,
    ):
        self.table, self.insert_head, self.update_head, self.delete_head = table, insert_head, update_head, delete_head
        self.columns, self.places, self.where, self.keys = tuple(columns), tuple(places), tuple(where), tuple(keys)
        self.by_number, self.number_first, self.counted = by_number, number_first, counted
        for piece in self.columns + self.where:
            if type(piece) is not bytes:
                raise TypeError("a piece that is not bytes")
        for place in self.places + self.keys:
            if type(place) is not int:
                raise TypeError("a place that is no number")
        if len(self.columns) != len(self.places) or not self.columns:
            raise ValueError("as many places are needed as columns")
        if len(self.where) != (1 if by_number else len(self.keys)) or not self.where:
            raise ValueError("as many pieces are needed as the key has columns")


cdef class RowTaker:
    """A preupdate hook that writes down the changes of a table, or of the requests of a group.

    Args:
        other: Called with each change that is not taken.
        full: Called when a run has taken as much as it may.
        otherwise: Writes a value that is rare.
        no_change: What stands for a value that an UPDATE leaves alone.
        encode: Makes a record of a statement that stands alone.
        limit: How many bytes a run may take.
    """

    cdef object other, full, otherwise, no_change, encode
    cdef Py_ssize_t limit
    cdef Room room
    cdef RowPlan plan
    cdef dict plans
    cdef long operation
    cdef Py_ssize_t count, longest, start
    cdef list stops
    cdef dict highest
    cdef bint grouped
    cdef readonly bint unfit

    def __init__(self, other, full, otherwise, no_change, encode, Py_ssize_t limit):
        self.other, self.full, self.otherwise, self.no_change = other, full, otherwise, no_change
        self.encode, self.limit = encode, limit
        self.room = Room()
        self._empty()

    cdef void _empty(self):
        self.room.used = 0
        self.plan = None
        self.plans = None
        self.stops = None
        self.highest = None
        self.operation = self.count = self.longest = self.start = 0
        self.grouped = self.unfit = False

    # -- runs -----------------------------------------------------------------------------------------------------

    def begin(self, RowPlan plan not None, long operation):
        """Take the changes of one table by one operation from now on."""
        self._empty()
        self.plan, self.operation, self.highest = plan, operation, {}

    def drop(self):
        """Take nothing any more, and forget what was taken."""
        self._empty()

    def taken(self):
        """What was taken since the last call: the records, how many, the longest one's size, highest numbers."""
        found = self.room.part(0, self.room.used), self.count, self.longest, self.highest
        self.room.used = self.count = self.longest = 0
        self.highest = {}
        return found

    def take(self, change):
        """SQLite is about to change a row."""
        cdef Py_ssize_t before
        if self.plan is None and not self.grouped:
            self.other(change)
            return
        before = self.room.used
        try:
            if self._take(change):
                if not self.grouped and self.room.used >= self.limit:
                    self.full()
                return
        except Exception:
            # Whatever is wrong with it the reference finds again.
            pass
        # Not where a call from here has begun something else.
        self.room.used = min(self.room.used, before)
        self.other(change)

    # -- groups ---------------------------------------------------------------------------------------------------

    def begin_group(self, dict plans not None):
        """Take rows that the statements of a group insert or update, from now on.

        Args:
            plans: The tables' plans, by their names; what is missing, `other` may put in.
        """
        self._empty()
        self.plans, self.stops, self.highest, self.grouped = plans, [], {}, True
        self.start = -1

    def next(self, *_):
        """A statement of the group begins; returns whether it may."""
        if not self.grouped or self.unfit:
            return False
        if self.start >= 0:
            self._end_one()
        self.start, self.count = self.room.used, 0
        return not self.unfit

    def refuse(self):
        """The group holds what has to be written down in another way."""
        self.unfit = True

    def end_group(self):
        """End the group: its records, where those of each statement end, the longest one's size, highest numbers."""
        if not self.grouped or self.start < 0:
            raise ValueError("no group was begun")
        self._end_one()
        found = self.room.part(0, self.room.used), self.stops, self.longest, self.highest
        self._empty()
        return found

    cdef int _end_one(self) except -1:
        """A statement has ended: what it did gets its brackets, or the form of a statement that stands alone."""
        cdef Room room = self.room
        cdef Py_ssize_t size = room.used - self.start
        cdef uint8_t *at
        cdef uint8_t kind = KIND_SQL
        if self.count == 1:
            size -= HEAD_V2
            if size >= SHORT:
                record = self.encode(room.part(self.start + HEAD_V2, room.used))
                room.used = self.start
                room.add(PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record))
            else:
                room.need(1)
                at = room.bytes + self.start
                memmove(at + HEAD_V3, at + HEAD_V2, size)
                at[HEAD_V2] = kind
                put_word(at, <uint32_t>size | <uint32_t>FORM_V3 << 29)
                put_word(at + 4, crc32(at + HEAD_V2, size + 1, 0))
                room.used += 1
        elif self.count:
            room.need(len(BRACKET_BEGIN))
            at = room.bytes + self.start
            memmove(at + len(BRACKET_BEGIN), at, size)
            memcpy(at, PyBytes_AS_STRING(BRACKET_BEGIN), len(BRACKET_BEGIN))
            room.used += len(BRACKET_BEGIN)
            room.add(PyBytes_AS_STRING(BRACKET_COMMIT), len(BRACKET_COMMIT))
        self.stops.append(room.used)
        return 0

    # -- rows -----------------------------------------------------------------------------------------------------

    cdef bint _take(self, change) except -1:
        """Write a change down; returns whether it belongs here."""
        cdef RowPlan plan = self.plan
        cdef long operation = change.opcode
        cdef Room room = self.room
        cdef Py_ssize_t start = room.used, size
        cdef int made
        if self.grouped and (self.unfit or self.start < 0):
            return True  # what it holds is thrown away
        if plan is None or change.table_name != plan.table:
            if not self.grouped:
                return False
            plan = self.plans.get(change.table_name)
            if plan is None:
                return False
            self.plan = plan
        if self.grouped:
            if operation == OF_DELETE or room.used >= MOST_OF_GROUP or change.database_name != "main":
                self.unfit = True
                return True
        elif operation != self.operation:
            return False
        room.need(HEAD_V2)
        room.used += HEAD_V2
        if operation == OF_INSERT:
            made = self._insert(plan, change)
        elif operation == OF_UPDATE:
            made = self._update_by_number(plan, change) if plan.by_number else self._update(plan, change)
        elif operation == OF_DELETE:
            made = self._delete(plan, change)
        else:
            made = 0
        size = room.used - start - HEAD_V2
        if made < 0:
            room.used = start
            return True
        if made == 0 or size > 0x1FFFFFFF:
            room.used = start
            return False
        put_word(room.bytes + start, <uint32_t>size | <uint32_t>1 << 31)
        put_word(room.bytes + start + 4, crc32(room.bytes + start + HEAD_V2, size, 0))
        if operation == OF_INSERT and plan.counted:
            number = change.rowid_new
            known = self.highest.get(plan.table)
            if known is None or known < number:
                self.highest[plan.table] = number
        self.count += 1
        self.longest = max(self.longest, size)
        return True

    cdef int _insert(self, RowPlan plan, change) except -2:
        cdef Room room = self.room
        cdef tuple row = change.new
        cdef bint first = True
        room.add(PyBytes_AS_STRING(plan.insert_head), PyBytes_GET_SIZE(plan.insert_head))
        if plan.number_first:
            add_value(room, change.rowid_new, self.otherwise)
            first = False
        for place in plan.places:
            if not first:
                room.add(b",", 1)
            first = False
            add_value(room, row[<Py_ssize_t>place], self.otherwise)
        room.add(b")", 1)
        return 1

    cdef int _update_by_number(self, RowPlan plan, change) except -2:
        """Positive where it was written, negative where nothing changed, 0 where it does not belong here."""
        cdef tuple row = change.update
        cdef Py_ssize_t index, changed = 0
        number = change.rowid
        if change.rowid_new != number:
            return 0
        for index in range(len(plan.columns)):
            value = row[<Py_ssize_t>plan.places[index]]
            if value is not self.no_change:
                self._set(plan, index, changed, value)
                changed += 1
        if changed == 0:
            return -1
        piece = plan.where[0]
        self.room.add(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        add_value(self.room, number, self.otherwise)
        return 1

    cdef int _update(self, RowPlan plan, change) except -2:
        """As `_update_by_number`."""
        cdef tuple old = change.old, new = change.new
        cdef Py_ssize_t index, place, changed = 0
        for index in range(len(plan.columns)):
            place = plan.places[index]
            value = new[place]
            if not same(old[place], value):
                self._set(plan, index, changed, value)
                changed += 1
        if changed == 0:
            return -1
        return self._key(plan, old)

    cdef int _delete(self, RowPlan plan, change) except -2:
        cdef Room room = self.room
        if change.blob_write >= 0:
            return 0
        room.add(PyBytes_AS_STRING(plan.delete_head), PyBytes_GET_SIZE(plan.delete_head))
        if not plan.by_number:
            return self._key(plan, change.old)
        piece = plan.where[0]
        room.add(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        add_value(room, change.rowid, self.otherwise)
        return 1

    cdef int _set(self, RowPlan plan, Py_ssize_t index, Py_ssize_t changed, value) except -1:
        cdef Room room = self.room
        if changed == 0:
            room.add(PyBytes_AS_STRING(plan.update_head), PyBytes_GET_SIZE(plan.update_head))
        else:
            room.add(b",", 1)
        piece = plan.columns[index]
        room.add(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        add_value(room, value, self.otherwise)
        return 0

    cdef int _key(self, RowPlan plan, tuple old) except -2:
        cdef Py_ssize_t index
        for index in range(len(plan.where)):
            value = old[<Py_ssize_t>plan.keys[index]]
            if value is None:
                return 0
            piece = plan.where[index]
            self.room.add(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
            add_value(self.room, value, self.otherwise)
        return 1


cdef bint same(one, other) except -1:
    """Whether two values are the same in type and in every bit."""
    cdef double first, second
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if type(one) is float:
        first, second = one, other
        return memcmp(&first, &second, sizeof(double)) == 0
    return one == other


cdef int add_float(Room room, double value) except -1:
    """A finite number as Python writes it."""
    cdef char *text = PyOS_double_to_string(value, c"r", 0, Py_DTSF_ADD_DOT_0, NULL)
    try:
        room.add(text, strlen(text))
    finally:
        PyMem_Free(text)
    return 0
