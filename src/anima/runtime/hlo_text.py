"""Optimised programs for reading: XLA hands them back as protocol buffers.

Invariant: every computation and instruction of the program is shown, with its shape, operands and the attributes named
below, and which results are written over which arguments; further attributes are left out. The field numbers are those of
XLA's `hlo.proto` and `xla_data.proto`.
"""

from __future__ import annotations

from anima.protobuf import Value, fields, message, numbers

Fields = dict[int, list[Value]]

# HloModuleProto and HloComputationProto
_NAME, _ENTRY_NAME, _COMPUTATIONS, _INSTRUCTIONS, _COMPUTATION_ID, _ROOT_ID = 1, 2, 3, 2, 5, 6
# HloModuleProto, HloInputOutputAliasProto and its AliasEntryProto
_ALIASES, _ENTRIES, _RESULT_INDEX, _ARGUMENT, _ARGUMENT_INDEX, _ALIAS_KIND = 8, 1, 1, 2, 3, 4
_MUST_ALIAS = 2
# HloInstructionProto
_OPCODE, _SHAPE, _PARAMETER, _FUSION_KIND, _TUPLE_INDEX, _DIMENSIONS = 2, 3, 9, 11, 13, 14
_TARGET, _ID, _OPERANDS, _CALLED, _DIRECTION = 28, 35, 36, 38, 63
# ShapeProto and LayoutProto
_ELEMENT, _DIMS, _TUPLE_SHAPES, _LAYOUT, _MINOR_TO_MAJOR = 2, 3, 4, 5, 1

_ELEMENT_NAMES = {
    1: "pred", 2: "s8", 3: "s16", 4: "s32", 5: "s64", 6: "u8", 7: "u16", 8: "u32", 9: "u64", 10: "f16", 11: "f32",
    12: "f64", 13: "tuple", 14: "opaque", 15: "c64", 16: "bf16", 17: "token", 18: "c128", 19: "f8e5m2", 20: "f8e4m3fn",
    21: "s4", 22: "u4", 23: "f8e4m3b11fnuz", 24: "f8e5m2fnuz", 25: "f8e4m3fnuz", 26: "s2", 27: "u2", 28: "f8e4m3",
    29: "f8e3m4", 32: "f4e2m1fn", 33: "f8e8m0fnu",
}  # fmt: skip


def hlo_text(program: bytes) -> str:
    """`Executable.optimized_program()` as text.

    Raises:
      ValueError: these are not the bytes of a program.
    """
    module = fields(memoryview(program))
    if not module[_COMPUTATIONS] and module[1]:
        module = fields(message(module[1][-1]))  # it came with its configuration
    computations = [fields(message(c)) for c in module[_COMPUTATIONS]]
    if not computations:
        raise ValueError("the bytes are not those of a compiled program: it has no computations")
    names = {_number(c, _COMPUTATION_ID): _text(c, _NAME) for c in computations}
    entry = _text(module, _ENTRY_NAME)
    parts = [_computation(c, names, _text(c, _NAME) == entry) for c in computations]
    return f"HloModule {_text(module, _NAME)}{_aliases(module)}\n\n" + "\n".join(parts)


def _aliases(module: Fields) -> str:
    """The pairs of a result and the argument whose memory it takes, as XLA itself writes them: `{1}: (0, {}, may-alias)`."""
    entries = [
        fields(message(entry)) for aliases in module[_ALIASES] for entry in fields(message(aliases))[_ENTRIES]
    ]
    if not entries:
        return ""
    pairs = [
        f"{_index(entry, _RESULT_INDEX)}: ({_number(entry, _ARGUMENT)}, {_index(entry, _ARGUMENT_INDEX)}, "
        f"{'must' if _number(entry, _ALIAS_KIND) == _MUST_ALIAS else 'may'}-alias)"
        for entry in entries
    ]
    return f", input_output_alias={{ {', '.join(pairs)} }}"


def _index(entry: Fields, field: int) -> str:
    return f"{{{','.join(map(str, numbers(entry[field])))}}}"


def _computation(computation: Fields, names: dict[int, str], is_entry: bool) -> str:
    instructions = [fields(message(i)) for i in computation[_INSTRUCTIONS]]
    values = {_number(i, _ID): f"%{_text(i, _NAME)}" for i in instructions}
    root = _number(computation, _ROOT_ID)
    lines = [_instruction(i, values, names, _number(i, _ID) == root) for i in instructions]
    head = f"{'ENTRY ' if is_entry else ''}%{_text(computation, _NAME)} {{"
    return "\n".join([head, *lines, "}", ""])


def _instruction(instruction: Fields, values: dict[int, str], names: dict[int, str], is_root: bool) -> str:
    opcode = _text(instruction, _OPCODE)
    operands = ", ".join(values[n] for n in numbers(instruction[_OPERANDS]))
    if opcode == "parameter":
        operands = str(_number(instruction, _PARAMETER))
    attributes = []
    if instruction[_DIMENSIONS]:
        attributes.append(f"dimensions={{{','.join(map(str, numbers(instruction[_DIMENSIONS])))}}}")
    for label, field in (("kind", _FUSION_KIND), ("custom_call_target", _TARGET), ("direction", _DIRECTION)):
        if instruction[field]:
            attributes.append(f"{label}={_text(instruction, field)}")
    if opcode == "get-tuple-element":
        attributes.append(f"index={_number(instruction, _TUPLE_INDEX)}")
    called = [f"%{names[n]}" for n in numbers(instruction[_CALLED])]
    if called:
        attributes.append(f"calls={called[0]}" if len(called) == 1 else f"calls={{{', '.join(called)}}}")
    shape = _shape(fields(message(instruction[_SHAPE][-1])))
    tail = "".join(f", {a}" for a in attributes)
    return f"  {'ROOT ' if is_root else ''}{values[_number(instruction, _ID)]} = {shape} {opcode}({operands}){tail}"


def _shape(shape: Fields) -> str:
    if shape[_TUPLE_SHAPES]:
        return "(" + ", ".join(_shape(fields(message(s))) for s in shape[_TUPLE_SHAPES]) + ")"
    dims = ",".join(map(str, numbers(shape[_DIMS])))
    text = f"{_ELEMENT_NAMES.get(_number(shape, _ELEMENT), 'unknown')}[{dims}]"
    order = numbers(fields(message(shape[_LAYOUT][-1]))[_MINOR_TO_MAJOR]) if shape[_LAYOUT] else []
    return f"{text}{{{','.join(map(str, order))}}}" if order else text


def _number(message_fields: Fields, field: int) -> int:
    found = numbers(message_fields[field])
    return found[-1] if found else 0


def _text(message_fields: Fields, field: int) -> str:
    found = message_fields[field]
    return bytes(message(found[-1])).decode("utf-8", "replace") if found else ""
