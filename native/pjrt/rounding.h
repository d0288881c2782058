// Sets how numbers are rounded, as fesetround does, but writes the processor's state only where it changes:
// XLA sets it twice for every program that it runs, nearly always to what it is.
#pragma once

namespace anima::rounding {

int set(int mode);

}  // namespace anima::rounding
