"""References: reading and writing, what they are, and what is refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as jnp
from anima import lax
from anima.errors import RefError, UnexpectedTracerError


def ref_of(*values: float) -> Any:
    return anima.new_ref(jnp.array(values if len(values) != 1 else values[0], jnp.float32))


INDICES = {
    "all": ..., "none": (), "int": 1, "negative": -2, "row": (1, ...), "slice": slice(1, 3), "step": slice(None, None, 2),
    "backwards": slice(None, None, -1), "element": (2, -1), "column": (slice(None), 0), "new axis": (None, 1),
    "array": np.array([2, 0]), "arrays": (np.array([2, 0]), np.array([1, 1])), "mask": np.array([True, False, True, False]),
    "mixed": (np.array([0, 1]), slice(1, None)), "last": (..., -1),
}  # fmt: skip


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_those_of_numpy(name: str) -> None:
    index, plain = INDICES[name], np.arange(12, dtype=np.float32).reshape(4, 3)
    ref = anima.new_ref(plain)
    np.testing.assert_array_equal(ref[index], plain[index])
    for value in (plain[index] * 2 + 1, np.float32(7.0)):
        ref[index] = value
        plain[index] = value
        np.testing.assert_array_equal(ref[...], plain)
        ref[index] += value
        plain[index] += value
        np.testing.assert_array_equal(ref[...], plain)


def test_traced_indices_out_of_bounds_are_those_of_arrays() -> None:
    ref = ref_of(1.0, 2.0, 3.0)

    @anima.jit
    def f(i: Any) -> Any:
        ref[i] = 9.0
        return ref[i]

    array = jnp.array([1.0, 2.0, 3.0])
    assert f(7) == anima.jit(lambda i: array.at[i].set(9.0)[i])(7)
    np.testing.assert_array_equal(ref[...], [1, 2, 3])


def test_the_values_given_out_do_not_change() -> None:
    start = jnp.arange(3.0)
    ref = anima.new_ref(start)
    first = ref[...]
    ref[0] = 5.0
    second = ref[...]
    anima.jit(lambda: ref.addupdate(1.0))()
    anima.jit(lambda: ref.addupdate(1.0))()
    np.testing.assert_array_equal(start, [0, 1, 2])
    np.testing.assert_array_equal(first, [0, 1, 2])
    np.testing.assert_array_equal(second, [5, 1, 2])
    np.testing.assert_array_equal(ref[...], [7, 3, 4])


def test_a_numpy_array_is_copied() -> None:
    start = np.zeros(3, np.float32)
    ref = anima.new_ref(start)
    start[0] = 1
    np.testing.assert_array_equal(ref[...], [0, 0, 0])


def test_compiled_functions_update_memory_in_place() -> None:
    ref = anima.new_ref(jnp.zeros(10_000))
    step = anima.jit(lambda r: r.addupdate(1.0, 3))
    step(ref)  # the first array is shared with whoever gave it
    place = ref.unsafe_buffer_pointer()
    step(ref)
    assert ref.unsafe_buffer_pointer() == place
    kept = ref[...]
    step(ref)
    assert ref.unsafe_buffer_pointer() != place
    assert (kept[3], ref[3]) == (2, 3)


def test_memory_is_that_of_the_references_also_beside_captured_arrays() -> None:
    table = jnp.arange(4.0)
    first, read, last = (anima.new_ref(np.full(4, x, np.float32)) for x in (1.0, 2.0, 3.0))

    @anima.jit
    def f(x: Any) -> None:
        first[...] += table + x
        last[...] = last[...] * read[...]

    for _ in range(3):
        f(jnp.zeros(4))
    np.testing.assert_array_equal(table, np.arange(4))
    np.testing.assert_array_equal(first[...], 1 + 3 * np.arange(4))
    np.testing.assert_array_equal(read[...], [2] * 4)
    np.testing.assert_array_equal(last[...], [24] * 4)


def test_a_value_that_others_hold_is_not_reused() -> None:
    a, b = ref_of(1.0, 2.0), ref_of(3.0, 4.0)
    x = jnp.array([5.0, 6.0])

    @anima.jit
    def f(x: Any) -> Any:
        a[...] = x
        b[...] = x
        return x

    y = f(x)
    for ref in (a, b):
        anima.jit(lambda: ref.addupdate(1.0))()
    np.testing.assert_array_equal(x, [5, 6])
    np.testing.assert_array_equal(y, [5, 6])
    np.testing.assert_array_equal(a[...], [6, 7])
    np.testing.assert_array_equal(b[...], [6, 7])


def test_what_a_reference_tells() -> None:
    ref = anima.new_ref(jnp.zeros((2, 3)))
    assert (ref.shape, ref.dtype, ref.ndim, ref.size, len(ref)) == ((2, 3), np.float32, 2, 6, 2)
    assert repr(ref.aval) == "Ref{float32[2,3]}"
    assert ref.aval == anima.typeof(ref) == anima.ref.AbstractRef(anima.typeof(jnp.zeros((2, 3))))
    assert hash(ref.aval) == hash(anima.typeof(ref))
    assert ref.aval.inner_aval == anima.typeof(jnp.zeros((2, 3)))
    assert ref.sharding == jnp.zeros(3).sharding
    assert isinstance(ref, anima.Ref) and not isinstance(ref, anima.Array)
    assert repr(anima.new_ref(jnp.arange(3))) == "Ref([0, 1, 2], dtype=int32)"
    assert anima.tree.leaves({"a": ref}) == [ref]


def test_plain_numbers_take_the_dtype_of_the_reference() -> None:
    ref = anima.new_ref(jnp.zeros(2, jnp.bfloat16))
    ref[0] = 1
    ref[1] += 2.5
    assert ref[...].dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(ref[...], np.float32), [1, 2.5])


@pytest.mark.parametrize("start", [1.0, np.float32(1.0)], ids=["weak", "strong"])
def test_a_reference_stays_as_weakly_typed_as_it_was_made(start: Any) -> None:
    weak = isinstance(start, float)

    seen: list[bool] = []

    def f() -> Any:
        ref = anima.new_ref(start)
        seen.append(ref[...].weak_type)
        for value in (jnp.float32(2.0), 3.0):
            ref[...] = value
            seen.append(ref[...].weak_type)
        ref[()] += 1
        seen.append(ref[...].weak_type)
        return ref[...]

    f(), anima.jit(f)()
    assert seen == [weak] * 8


def test_random_keys_can_be_held() -> None:
    ref = anima.new_ref(anima.random.key(0))

    @anima.jit
    def draw() -> Any:
        ref[...], use = anima.random.split(ref[...])
        return anima.random.uniform(use)

    key = anima.random.key(0)
    for _ in range(3):
        key, use = anima.random.split(key)
        assert draw() == anima.random.uniform(use)


def test_parts_are_read_and_written_through() -> None:
    ref = anima.new_ref(jnp.arange(12.0).reshape(3, 4))
    plain = np.arange(12.0).reshape(3, 4)

    @anima.jit
    def f(r: Any) -> Any:
        rows = r.at[1:]
        rows.at[:, 2][0] = 50.0
        rows[1, 0] += 5
        anima.ref.addupdate(r.at[0], None, 1.0)
        return rows[...], rows.shape, len(rows), anima.ref.swap(rows.at[0], 0, 3.0)

    got, shape, length, old = f(ref)
    plain[1:][:, 2][0] = 50
    plain[1:][1, 0] += 5
    plain[0] += 1
    np.testing.assert_array_equal(got, plain[1:])
    assert (tuple(map(int, shape)), int(length), float(old)) == ((2, 4), 2, 4.0)
    plain[1, 0] = 3
    np.testing.assert_array_equal(ref[...], plain)


def test_functions_of_the_module_take_everything_without_an_index() -> None:
    ref = ref_of(1.0, 2.0)
    anima.ref.set(ref, None, jnp.array([3.0, 4.0]))
    np.testing.assert_array_equal(anima.ref.swap(ref, None, 5.0), [3, 4])
    anima.ref.addupdate(ref, None, 1.0)
    np.testing.assert_array_equal(anima.ref.get(ref), [6, 6])


def test_an_empty_reference_has_the_type_asked_for() -> None:
    ref = anima.empty_ref(anima.ShapeDtypeStruct((2, 3), jnp.int8))
    assert (ref.shape, ref.dtype) == ((2, 3), np.int8)
    assert anima.empty_ref(anima.typeof(ref)).aval == ref.aval
    with pytest.raises(TypeError, match="must have a shape and a dtype"):
        anima.empty_ref(3)


def test_a_program_is_traced_once_for_all_references_of_a_type() -> None:
    traces = []

    @anima.jit
    def f(ref: Any) -> None:
        traces.append(ref.shape)
        ref[0] += 1

    for ref in (ref_of(1.0, 2.0), ref_of(3.0, 4.0), ref_of(1.0, 2.0, 3.0)):
        f(ref), f(ref)
    assert traces == [(2,), (3,)]


def test_a_closure_over_a_reference_is_traced_once() -> None:
    traces, ref = [], ref_of(0.0)

    @anima.jit
    def f() -> None:
        traces.append(1)
        ref[...] += 1

    for _ in range(3):
        f()
    assert (len(traces), float(ref[...])) == (1, 3)


def test_stages_of_a_program_with_references() -> None:
    ref, closed = ref_of(1.0, 2.0), ref_of(10.0)

    def f(r: Any, x: Any) -> Any:
        r[0] += x
        closed[...] += 1
        return {"y": r[0] * closed[...]}

    traced = anima.jit(f).trace(ref, 2.0)
    assert len(traced.jaxpr.in_avals) == 3 and len(traced.jaxpr.out_avals) == 3
    compiled = traced.lower().compile()
    assert compiled.out_info["y"].shape == ()
    assert [a.shape for a in compiled.in_avals[0]] == [(2,), ()]
    results = [float(compiled(ref, 2.0)["y"]) for _ in range(2)]
    assert results == [33.0, 60.0]
    np.testing.assert_array_equal(ref[...], [5, 2])
    assert closed[...] == 12
    with pytest.raises(TypeError, match=r"float32\[3\]"):
        compiled(ref_of(1.0, 2.0, 3.0), 2.0)
    with pytest.raises(TypeError, match="expected a reference"):
        compiled(ref[...], 2.0)
    with pytest.raises(TypeError, match="not an array"):
        compiled(ref, closed)


def test_shapes_can_be_asked_for_without_writing() -> None:
    ref = ref_of(1.0, 2.0)

    def f(r: Any) -> Any:
        r[...] = r[...] * 2
        return r[0]

    assert anima.eval_shape(f, ref).shape == anima.jit(f).eval_shape(ref).shape == ()
    jaxpr = anima.make_jaxpr(f)(ref)
    assert [a.str_short() for a in (*jaxpr.in_avals, *jaxpr.out_avals)] == ["f32[2]", "f32[]", "f32[2]"]
    assert not jaxpr.effects
    np.testing.assert_array_equal(ref[...], [1, 2])


def test_a_function_that_fails_changes_nothing_outside() -> None:
    ref = ref_of(1.0, 2.0)

    @anima.jit
    def f(r: Any) -> None:
        r[0] = 5.0
        raise KeyError("stop")

    with pytest.raises(KeyError):
        f(ref)
    np.testing.assert_array_equal(ref[...], [1, 2])
    ref[0] = 3.0  # and can be used as before


def test_static_and_captured_references_mean_the_same() -> None:
    ref = ref_of(1.0)
    f = anima.jit(lambda r: r.addupdate(1.0), static_argnums=0)
    f(ref), f(ref)
    assert ref[...] == 3


# ---------------------------------------------------------------------------------------------
# What is refused.


def in_jit(f: Any, *args: Any) -> Any:
    return lambda: anima.jit(f)(*args)


REF = ref_of(1.0, 2.0, 3.0)

REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "twice": (in_jit(lambda a, b: a[0] + b[0], REF, REF), RefError, "passed as two arguments"),
    "twice in a pytree": (in_jit(lambda a: a[0][0], [REF, REF]), RefError, "passed as two arguments"),
    "twice in an inner call": (
        in_jit(lambda a: anima.jit(lambda b, c: b[0])(a, a), REF), RefError, "passed as two arguments",
    ),
    "twice in a branch": (
        lambda: lax.cond(True, lambda a, b: a[0], lambda a, b: b[0], REF, REF), RefError, "passed as two arguments",
    ),
    "twice for its type": (
        lambda: anima.eval_shape(lambda a, b: a[0], REF, REF), RefError, "passed as two arguments",
    ),
    "argument and closure": (in_jit(lambda a: a[0] + REF[0], REF), RefError, "closed over"),
    "argument and closure of an inner call": (
        in_jit(lambda a: anima.jit(lambda: REF[0])(), REF), RefError, "closed over",
    ),
    "returned": (in_jit(lambda: anima.new_ref(1.0)), RefError, "cannot be returned"),
    "an argument returned": (in_jit(lambda r: r, REF), RefError, "cannot be returned"),
    "returned from a branch": (lambda: lax.cond(True, lambda: REF, lambda: REF), RefError, "cannot be returned"),
    "carried": (lambda: lax.scan(lambda c, _: (c, None), REF, None, length=2), RefError, "close over it"),
    "carried by a while loop": (lambda: lax.while_loop(lambda c: False, lambda c: c, REF), RefError, "close over it"),
    "rows of a scalar": (
        lambda: lax.scan(lambda c, r: (c, None), 0, anima.new_ref(1.0)), RefError, "no rows",
    ),
    "rows twice": (lambda: lax.scan(lambda c, r: (c, None), 0, (REF, REF)), RefError, "two arguments"),
    "rows of another length": (lambda: lax.scan(lambda c, r: (c, None), 0, (REF, jnp.zeros(4))), ValueError, "rows"),
    "stacked": (lambda: lax.scan(lambda c, _: (c, REF), 0, None, length=2), RefError, "cannot be returned"),
    "written by a condition": (
        lambda: lax.while_loop(lambda c: (REF.addupdate(1.0), c < 2)[1], lambda c: c + 1, 0), RefError, "in body_fun",
    ),
    "frozen in another function": (in_jit(lambda r: anima.freeze(r), REF), RefError, "function that made it"),
    "frozen in an inner function": (in_jit(lambda: anima.freeze(REF)), RefError, "function that made it"),
    "an array frozen": (lambda: anima.freeze(jnp.zeros(2)), RefError, "expected a reference"),
    "an array read": (lambda: anima.ref.get(jnp.zeros(2), 0), RefError, "expected a reference"),
    "a reference to a reference": (lambda: anima.new_ref(REF), RefError, "references to references"),
    "a pytree": (lambda: anima.new_ref({"a": 1.0}), TypeError, "init_val must be an array"),
    "another memory": (lambda: anima.new_ref(1.0, memory_space="vmem"), ValueError, "memory_space"),
    "another kind": (lambda: anima.new_ref(1.0, kind="other"), ValueError, "kind"),
    "another dtype": (lambda: anima.ref.set(REF, 0, jnp.int32(1)), RefError, r"astype\('float32'\)"),
    "a float for an integer": (lambda: anima.ref.set(anima.new_ref(1), ..., 2.5), RefError, "does not fit"),
    "another dtype added": (lambda: anima.ref.addupdate(REF, 0, jnp.float16(1)), RefError, "does not fit"),
    "another shape": (lambda: anima.ref.set(REF, ..., jnp.zeros(2)), RefError, "does not fit"),
    "more dimensions": (lambda: anima.ref.set(REF, ..., jnp.zeros((1, 3))), RefError, "does not fit"),
    "out of bounds": (lambda: REF[3], RefError, "out of bounds for dimension 0"),
    "written out of bounds": (lambda: anima.ref.set(REF, -4, 1.0), RefError, "out of bounds"),
    "out of bounds behind": (lambda: anima.new_ref(jnp.zeros((2, 3)))[..., 3], RefError, "for dimension 1"),
    "an operation": (lambda: jnp.sin(REF), TypeError, "reference is not an array"),
    "an operation of lax": (lambda: lax.sin(REF), TypeError, "not an array"),
    "arithmetic": (lambda: REF + 1, TypeError, "unsupported"),
    "as an array": (lambda: jnp.asarray(REF), RefError, "not an array"),
    "as an array of NumPy": (lambda: np.asarray(REF), RefError, "not an array"),
    "as a truth value": (lambda: bool(REF), RefError, "truth value"),
    "iterated": (lambda: list(REF), RefError, "iterated"),
    "pickled": (lambda: pickle.dumps(REF), RefError, "pickle its value"),
    "written to a reference": (lambda: anima.ref.set(REF, 0, REF), RefError, "not an array"),
    "in a custom derivative": (in_jit(lambda x: _doubled(x), 1.0), RefError, "takes none"),
}  # fmt: skip


@anima.custom_jvp
def _doubled(x: Any) -> Any:
    return x * REF[0]


_doubled.defjvp(lambda primals, tangents: (_doubled(*primals), tangents[0]))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        call()
    np.testing.assert_array_equal(REF[...], [1, 2, 3])


@pytest.mark.parametrize("end", [anima.freeze, anima.free_ref], ids=["freeze", "free_ref"])
@pytest.mark.parametrize("jit", [lambda f: f, anima.jit], ids=["eager", "jit"])
def test_a_reference_that_has_ended_is_not_used(end: Any, jit: Any) -> None:
    uses: list[Any] = [
        lambda r: r[...], lambda r: r.addupdate(1.0), anima.freeze, anima.free_ref, lambda r: anima.jit(lambda r: r[0])(r),
        lambda r: anima.jit(lambda: r[0])(),
    ]  # fmt: skip
    for use in uses:

        def f(use: Any = use) -> Any:
            ref = anima.new_ref(jnp.arange(3.0))
            end(ref)
            with pytest.raises(RefError, match=f"after {end.__name__}"):
                use(ref)
            assert "ended" in repr(ref)
            return 0

        jit(f)()


def test_a_compiled_function_over_a_reference_that_has_ended_is_refused() -> None:
    ref = ref_of(1.0)
    f = anima.jit(lambda: ref[...])
    f()
    anima.freeze(ref)
    with pytest.raises(RefError, match="after freeze"):
        f()


def test_a_cached_program_still_refuses_two_names() -> None:
    ref, other = ref_of(1.0), ref_of(2.0)
    f = anima.jit(lambda a: a[...] + ref[...])
    assert f(other) == 3
    with pytest.raises(RefError, match="closes over"):
        f(ref)


@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
@pytest.mark.parametrize("value", [0.0, None], ids=["constant", "traced"])
def test_a_reference_that_has_left_its_function_is_not_used(write: bool, value: Any) -> None:
    kept: list[Any] = []
    anima.jit(lambda x: kept.append(anima.new_ref(x if value is None else value)))(1.0)
    with pytest.raises(UnexpectedTracerError):
        kept[0].addupdate(1.0) if write else kept[0][...]
    with pytest.raises(UnexpectedTracerError):
        anima.jit(lambda: kept[0][...])()
    with pytest.raises(UnexpectedTracerError):
        anima.freeze(kept[0])


def test_copies_are_references_of_their_own() -> None:
    ref = ref_of(1.0, 2.0)
    for other in (copy.copy(ref), copy.deepcopy(ref)):
        other[0] = 9.0
        np.testing.assert_array_equal(ref[...], [1, 2])
