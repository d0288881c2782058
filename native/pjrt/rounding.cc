#include "pjrt/rounding.h"

#include <cfenv>

namespace anima::rounding {

#ifdef __x86_64__

int set(int mode) {
  // Numbers in vectors have a state of their own, in which the mode lies three bits further up.
  constexpr unsigned kModes = FE_TOWARDZERO, kVectorShift = 3;
  unsigned short control;
  unsigned vector_control;
  __asm__ volatile("fnstcw %0" : "=m"(control));
  __asm__ volatile("stmxcsr %0" : "=m"(vector_control));
  unsigned wanted = static_cast<unsigned>(mode);
  if ((control & kModes) == wanted && ((vector_control >> kVectorShift) & kModes) == wanted) return 0;
  return std::fesetround(mode);
}

#else

int set(int mode) { return std::fegetround() == mode ? 0 : std::fesetround(mode); }

#endif

}  // namespace anima::rounding
