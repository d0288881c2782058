// Threads that Python ends, as it does with each that asks for the GIL while the interpreter shuts down.
//
// Invariant: no frame of ours is unwound by force. Its destructors would give references back without the
// GIL, while the interpreter frees what they refer to, and destructors and `catch (...)` may not let such an
// unwinding through. So a thread sleeps where it would come to the first of our frames, until the process is
// gone.
//
// The linker has every frame of this library name the function below in the place of the C++ library's
// (CMakeLists.txt). Elsewhere than on Linux a thread that ends is not unwound.
#if defined(__linux__)

#include <unistd.h>
#include <unwind.h>

extern "C" {

_Unwind_Reason_Code __real___gxx_personality_v0(int version, _Unwind_Action actions,
                                                _Unwind_Exception_Class kind, _Unwind_Exception* exception,
                                                _Unwind_Context* context);

// What the unwinder asks of a frame.
_Unwind_Reason_Code __wrap___gxx_personality_v0(int version, _Unwind_Action actions,
                                                _Unwind_Exception_Class kind, _Unwind_Exception* exception,
                                                _Unwind_Context* context) {
  while ((actions & _UA_FORCE_UNWIND) != 0) pause();
  return __real___gxx_personality_v0(version, actions, kind, exception, context);
}

}  // extern "C"

#endif
