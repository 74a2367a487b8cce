# cython: language_level=3, binding=True, embedsignature=True
# cython: boundscheck=True, wraparound=False, initializedcheck=True, nonecheck=True, overflowcheck=False, cdivision=True
"""The loops that every replicated byte passes through, compiled: `spgrepl._core`.

The Python code of the package is the reference: it says what each of these functions returns, runs where nothing was
compiled, and makes every error. A function here takes what is common, stops in front of the first thing that is
not, or returns None, and the caller's Python goes on from there. So no fault is described in two places, and none can
be described in two ways.

Rules of this folder:

- What a function reads is an immutable `bytes`, which the caller holds, or a buffer that is exported as long as it is
  read: neither can move or shrink.
- A length is compared with what is there before a byte behind it is looked at, and a claim before it is allocated.
- A loop gives up Python's lock where it touches bytes alone and takes longer than getting the lock back may take.
"""

from cpython cimport array
from cpython.bytearray cimport PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen

INTERFACE = 8
# Which functions there are, and what they take: `spgrepl.compiled.core` refuses a module made from others.

# From so many bytes on a loop gives up the lock. Whoever gives it up may have to wait for it for 5 ms.
cdef enum:
    LONG = 65536

include "lzss.pxi"
include "records.pxi"
include "statements.pxi"
include "owners.pxi"
include "frames.pxi"
include "rows.pxi"
include "changes.pxi"
include "copying.pxi"
