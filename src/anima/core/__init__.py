"""The language: abstract values, primitives, traces and jaxprs.

Nothing here knows any operation, device or compiler; higher layers plug in through `core.hooks`.
"""

from anima.core import pretty as pretty, tracebacks as tracebacks  # printed jaxprs, short tracebacks
