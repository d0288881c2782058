"""Foreign functions, which exported programs may call."""

from tests.ffi.conftest import library as library, targets as targets
