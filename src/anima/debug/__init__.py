"""Looking into programs that run: printing, callbacks, breakpoints, shardings; and into what made them slow."""

from anima.config import explain_cache_misses as explain_cache_misses
from anima.core.effects import DebugEffect as DebugEffect, OrderedDebugEffect as OrderedDebugEffect
from anima.debug.breakpoints import breakpoint as breakpoint
from anima.debug.counters import Counters as Counters, counters as counters
from anima.debug.printing import callback as callback, log as log, print as print
from anima.debug.shardings import (
    visualize_array_sharding as visualize_array_sharding,
    visualize_sharding as visualize_sharding,
)
