"""Declares the compiled core, which nothing depends on; all else is in setup.cfg."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        # Where it cannot be compiled the Python code runs that says the same.
        Extension(
            "spgrepl._core",
            ["core/_core.pyx"],
            depends=[
                f"core/{name}.pxi"
                for name in ("lzss", "records", "statements", "owners", "frames", "rows", "changes", "copying")
            ],
            extra_compile_args=["-O3"],
            optional=True,
        )
    ]
)
