"""Declares the compiled core, which nothing depends on; all else is in setup.cfg."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        # Where it cannot be compiled the Python code runs that says the same.
        Extension(
            "spgrepl._core",
            ["core/_core.pyx"],
            depends=["core/lzss.pxi", "core/records.pxi", "core/owners.pxi", "core/frames.pxi", "core/rows.pxi"],
            extra_compile_args=["-O3"],
            optional=True,
        )
    ]
)
