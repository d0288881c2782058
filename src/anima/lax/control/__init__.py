"""Structured control flow: choices and loops that stay what they are in compiled programs.

Invariant: users' functions become programs inside one operation; each of the three operations, `cond`, `while` and
`scan`, turns its programs into those that a transformation asks for, and is itself again.
"""
