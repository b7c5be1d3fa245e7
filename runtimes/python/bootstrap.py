"""Entry point of the Python runtime: hands over to the loop.

Kept this small because the interpreter compiles the main script at every start, while modules may come from
its cache. Everything in this directory runs on Python 3.6 and newer and imports as little as it can: the
start of an instance is paid in imports.
"""
import stint_loop

stint_loop.main()
