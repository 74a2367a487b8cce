# LZSS both ways; `spgrepl.log.format.lzss` describes the format.

cdef enum:
    MIN_MATCH = 3
    MAX_MATCH = 18
    MAX_DISTANCE = 4095
    WINDOW = 4096
    # What a byte of a stream may expand to at most, rounded up: 17 bytes are up to 8 copies.
    MOST_GROWTH = 9

cdef struct Progress:
    Py_ssize_t taken
    Py_ssize_t made


cdef Progress expand(
    const uint8_t *source, Py_ssize_t at, Py_ssize_t end, uint8_t *out, Py_ssize_t made, Py_ssize_t size,
    Py_ssize_t least, Py_ssize_t room,
) noexcept nogil:
    """Expand groups while `least` bytes are at hand and `room` bytes are to come; stop in front of a faulty one."""
    cdef Progress done
    cdef Py_ssize_t here, there, place
    cdef unsigned int flags, token, distance, length
    cdef int bit
    done.taken, done.made = at, made
    while size - done.made >= room and end - done.taken >= least:
        here, there = done.taken, done.made
        flags = source[here]
        here += 1
        if flags == 0xFF and end - here >= 8 and size - there >= 8:
            memcpy(out + there, source + here, 8)
            done.taken, done.made = here + 8, there + 8
            continue
        for bit in range(8):
            if there == size:
                break
            if flags >> bit & 1:
                if here == end:
                    return done
                out[there] = source[here]
                here += 1
                there += 1
                continue
            if end - here < 2:
                return done
            token = source[here] | <unsigned int>source[here + 1] << 8
            here += 2
            distance, length = token >> 4, (token & 15) + MIN_MATCH
            if distance == 0 or distance > there or length > size - there:
                return done
            if distance >= MAX_MATCH and size - there >= MAX_MATCH:
                # More than is asked for, in one step of a known length: what comes next is written over the rest.
                memcpy(out + there, out + there - distance, MAX_MATCH)
            else:
                # A copy may overlap what it writes.
                for place in range(there, there + length):
                    out[place] = out[place - distance]
            there += length
        done.taken, done.made = here, there
    return done


cdef object expanded(const uint8_t *source, Py_ssize_t end, Py_ssize_t limit):
    """Expand a whole stream, its length in front; None where the reference finds a fault in it."""
    cdef Py_ssize_t size
    cdef uint8_t *out
    cdef Progress done
    if end < 4:
        return None
    size = source[0] | source[1] << 8 | source[2] << 16 | <Py_ssize_t>source[3] << 24
    # What is stated is a stranger's claim: no more is allocated than such a stream can expand to.
    if size > limit or size > MOST_GROWTH * (end - 4):
        return None
    found = PyBytes_FromStringAndSize(NULL, size)
    out = <uint8_t *>PyBytes_AS_STRING(found)
    if size < LONG:
        done = expand(source, 4, end, out, 0, size, 1, 1)
    else:
        with nogil:
            done = expand(source, 4, end, out, 0, size, 1, 1)
    return found if done.made == size else None


def lzss_decompress(bytes stream not None, Py_ssize_t limit):
    """Expand a whole stream, its length in front; None where the reference finds a fault in it."""
    return expanded(<const uint8_t *>PyBytes_AS_STRING(stream), PyBytes_GET_SIZE(stream), limit)


def lzss_expand(bytes data not None, Py_ssize_t at, Py_ssize_t left, bytearray window not None):
    """Expand the groups of a part of a stream that neither end can be reached in, and add to what came before.

    Args:
        data: A part of a stream.
        at: Where in it the next group starts.
        left: How many bytes the stream still has to expand to.
        window: What it has expanded to so far, from the last 4,095 bytes on at least.

    Returns:
        Where the next group starts: one that may be cut short or end the stream, or that is faulty.
    """
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data), before = len(window), most
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef uint8_t[::1] out
    cdef Progress done
    if at < 0 or at > end or left <= 0:
        return at
    most = min(left, MOST_GROWTH * (end - at))
    if most == 0:
        return at
    PyByteArray_Resize(window, before + most)
    # As long as it is exported it cannot be resized, and so it does not move.
    out = window
    if most < LONG:
        done = expand(source, at, end, &out[0], before, before + most, 17, 8 * MAX_MATCH)
    else:
        with nogil:
            done = expand(source, at, end, &out[0], before, before + most, 17, 8 * MAX_MATCH)
    out = None
    del window[done.made :]
    return done.taken


cdef inline uint32_t bucket_of(const uint8_t *run, int shift) noexcept nogil:
    """Which bucket a run of three bytes belongs to."""
    return ((run[0] | <uint32_t>run[1] << 8 | <uint32_t>run[2] << 16) * <uint32_t>2654435761) >> shift


cdef Py_ssize_t compress(
    const uint8_t *data, int32_t size, uint8_t *out, int32_t *oldest, int32_t *newest, int32_t *following, int shift
) noexcept nogil:
    """Write the groups of a stream; returns how many bytes they are.

    The places of the last 4,096 bytes are kept in lists, one for each bucket, oldest first: the first of the longest
    matches that is met is the one to take.

    Args:
        data: What to compress.
        size: How much it is.
        out: Room for `size` bytes and one more for each eight of them.
        oldest: For each bucket the first place of its list, or -1.
        newest: For each bucket the last place of its list; only where there is one.
        following: For each of the last 4,096 places, by its lower 12 bits, the next one of its list, or -1.
        shift: By how much a hash of 32 bits is shifted to name a bucket.
    """
    cdef int32_t at = 0, done, place, best, length, most, known, last
    cdef Py_ssize_t made = 0, flags_at
    cdef unsigned int flags, token
    cdef uint32_t bucket
    cdef int bit
    while at < size:
        flags, flags_at = 0, made
        made += 1
        for bit in range(8):
            if at == size:
                break
            best, length = 0, MIN_MATCH - 1
            most = min(<int32_t>MAX_MATCH, size - at)
            place = oldest[bucket_of(data + at, shift)] if most >= MIN_MATCH else -1
            while place >= 0:
                # The byte that would make it longer than the best one tells most of them.
                if data[place + length] == data[at + length] and data[place] == data[at] and at - place <= MAX_DISTANCE:
                    known = 1
                    while known < most and data[place + known] == data[at + known]:
                        known += 1
                    if known > length:
                        best, length = place, known
                        if length == most:
                            break
                place = following[place & (WINDOW - 1)]
            if length >= MIN_MATCH:
                token = <unsigned int>(at - best) << 4 | <unsigned int>(length - MIN_MATCH)
                out[made], out[made + 1] = token & 0xFF, token >> 8
                made += 2
            else:
                length = 1
                flags |= 1 << bit
                out[made] = data[at]
                made += 1
            for done in range(at, min(at + length, size - MIN_MATCH + 1)):
                last = done - WINDOW
                if last >= 0:
                    # It is the oldest of its list, and its entry is needed for the new place.
                    oldest[bucket_of(data + last, shift)] = following[last & (WINDOW - 1)]
                following[done & (WINDOW - 1)] = -1
                bucket = bucket_of(data + done, shift)
                if oldest[bucket] < 0:
                    oldest[bucket] = done
                else:
                    following[newest[bucket] & (WINDOW - 1)] = done
                newest[bucket] = done
            at += length
        out[flags_at] = flags
    return made


def lzss_compress(bytes data not None):
    """Compress bytes to a stream, its length in front; None where they are too many for one."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), made
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef int bits = 9
    cdef int32_t *tables
    cdef uint8_t *out
    if size > 0x7FFFFF00:
        return None
    # A table for little text is small: to clear it would take longer than to use it.
    while bits < 14 and (1 << bits) < size:
        bits += 1
    tables = <int32_t *>malloc((2 * (1 << bits) + WINDOW) * sizeof(int32_t))
    out = <uint8_t *>malloc(4 + size + size // 8 + 1)
    try:
        if tables == NULL or out == NULL:
            raise MemoryError
        memset(tables, 0xFF, (1 << bits) * sizeof(int32_t))
        out[0], out[1], out[2], out[3] = size & 0xFF, size >> 8 & 0xFF, size >> 16 & 0xFF, size >> 24 & 0xFF
        if size < LONG // 8:
            made = compress(source, <int32_t>size, out + 4, tables, tables + (1 << bits), tables + (2 << bits), 32 - bits)
        else:
            with nogil:
                made = compress(
                    source, <int32_t>size, out + 4, tables, tables + (1 << bits), tables + (2 << bits), 32 - bits
                )
        return PyBytes_FromStringAndSize(<char *>out, 4 + made)
    finally:
        free(tables)
        free(out)
