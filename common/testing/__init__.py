"""Shared code of the tests of all packages. It is not installed, so no image contains it."""
