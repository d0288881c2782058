"""The run-time system: plugins, devices, compilation and its caches.

Invariant: importing this package starts nothing; the first use of a device loads a plugin.
"""
