"""Mutable references: `anima.ref` is their public face.

Invariant: a reference never enters a program. It is an object of Python that holds the value which its array has at this point
of the program, an array or a tracer; reading gives that value, writing replaces it. Where a function becomes a program of its
own, a reference from outside is an argument of the program, and a result of it if the function writes to it (`staging`). So
programs are pure, and no rule of any operation knows of references.
"""
