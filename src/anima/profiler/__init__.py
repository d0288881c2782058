"""Where the time goes: traces of a program's work, and a picture of the memory that arrays take.

>>> import anima, anima.numpy as np, os, tempfile
>>> f = anima.jit(lambda x: (x * x).sum())
>>> with tempfile.TemporaryDirectory() as folder:
...     with anima.profiler.trace(folder):
...         with anima.profiler.TraceAnnotation("my step"):
...             y = f(np.ones(1000)).block_until_ready()
...     [session] = os.listdir(os.path.join(folder, "plugins", "profile"))
...     files = os.listdir(os.path.join(folder, "plugins", "profile", session))
>>> sorted(name.partition(".")[2] for name in files)
['trace.json.gz', 'xplane.pb']
"""

from anima.profiler.annotations import (
    StepTraceAnnotation as StepTraceAnnotation,
    TraceAnnotation as TraceAnnotation,
    annotate_function as annotate_function,
)
from anima.profiler.memory import (
    device_memory_profile as device_memory_profile,
    save_device_memory_profile as save_device_memory_profile,
)
from anima.profiler.options import ProfileOptions as ProfileOptions
from anima.profiler.session import (
    start_trace as start_trace,
    stop_trace as stop_trace,
    trace as trace,
)
from anima.profiler.xspace import (
    ProfileData as ProfileData,
    ProfileEvent as ProfileEvent,
    ProfileLine as ProfileLine,
    ProfilePlane as ProfilePlane,
)
