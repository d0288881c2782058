"""The programs say `import jax`, so nothing here but the tests is ever imported by pytest."""

from __future__ import annotations

collect_ignore = ["programs.py", "run.py"]
