"""The `xmguard` command: a thin shell over the library, a served guard, and commands found by entry point.

Holds no logic of its own: it reads flags and files, calls, and shows. Needs the extra `cli`.
"""
