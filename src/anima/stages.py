"""The stages of a program, as types: what `jit(f).trace(...)`, `.lower(...)` and `.compile()` return."""

from anima.transforms.stages import (
    ArgInfo as ArgInfo,
    Compiled as Compiled,
    CompilerOptions as CompilerOptions,
    Lowered as Lowered,
    Traced as Traced,
    Wrapped as Wrapped,
)
