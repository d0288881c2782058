"""Looking into programs that run: printing, callbacks, breakpoints."""

from anima.core.effects import DebugEffect as DebugEffect, OrderedDebugEffect as OrderedDebugEffect
from anima.debug.breakpoints import breakpoint as breakpoint
from anima.debug.printing import callback as callback, log as log, print as print
