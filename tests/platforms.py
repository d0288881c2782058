"""What results depend on the platform that the tests run on (`ANIMA_PLATFORMS`, `make test-gpu`).

XLA's GPU code keeps subnormal numbers, where its CPU code takes them for zeros, and rounds quotients and roots of
float32 less exactly. Which of several writes to one place wins is not defined there.
"""

from __future__ import annotations

import anima

ON_CPU = anima.default_backend() == "cpu"


def bound(ulps: float) -> float:
    """How many units in the last place an elementwise result may be off, where XLA's CPU code errs by `ulps`."""
    return ulps if ON_CPU or not ulps else max(2 * ulps, 3.0)
