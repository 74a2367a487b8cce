"""A stand-in for a deployed SPG server, on real sockets, and what followers and subscribers make of it.

`database` holds rows and writes the log as such a server does; `wire` serves it; `kit` is for test cases.
"""
