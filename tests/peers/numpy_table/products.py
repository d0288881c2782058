"""Calls of products of arrays, and of what `numpy.linalg` and `numpy.fft` have."""

from __future__ import annotations

from tests.peers.numpy_table.entry import entry
from tests.peers.numpy_table.source import ANY, REAL, Source

SIDES = ((3,), (2, 3), (3, 3), (3, 2), (), (0,), (2, 1, 3), (2, 3, 1))
COMPUTED = ("float32", "complex64", "int32", "float32", "bool")
SQUARE = ((3, 3), (2, 2, 2), (0, 0), (1, 1), (2, 3), (3,))


@entry("dot inner matmul vdot kron outer matvec vecmat linalg.outer linalg.matmul")
def product(d: Source, name: str) -> str:
    return f"np.{name}({d.operand(ANY, SIDES)}, {d.operand(ANY, SIDES)})"


@entry("vecdot linalg.vecdot")
def vecdot(d: Source, name: str) -> str:
    a, rank = d.shaped(shapes=SIDES)
    return f"np.{name}({a}, {d.operand(ANY, SIDES)}{d.places(rank, False, False)})"


@entry("tensordot linalg.tensordot")
def tensordot(d: Source, name: str) -> str:
    axes = d.pick("2", "1", "0", "((0,), (0,))", "((1, 0), (0, 1))", "3", "((-1,), (0,))", "((0,), (0, 1))")
    return f"np.{name}({d.array(ANY, SIDES)}, {d.array(ANY, SIDES)}, axes={axes})"


@entry("einsum")
def einsum(d: Source, name: str) -> str:
    one = d.pick("ii", "ii->i", "ij->ji", "ij->", "...j->j...", "ij->k", "i->ii")
    two = d.pick("ij,jk", "ij,jk->ik", "i,j->ij", "ij,ij->", "...i,...i", "ij,k")
    if d.pick(True, False):
        return f"np.einsum('{two}', {d.array(ANY, SIDES)}, {d.array(ANY, SIDES)})"
    return f"np.einsum('{one}', {d.array(ANY, SIDES)})"


@entry("einsum_path")
def einsum_path(d: Source, name: str) -> str:
    return f"np.einsum_path('{d.pick('ij,jk', 'ij,jk,kl')}', {', '.join(['A([1], ' + repr('float32') + ', (1, 1))'] * d.pick(2, 3))})[0]"


@entry("cross linalg.cross")
def cross(d: Source, name: str) -> str:
    shapes = ((3,), (2, 3), (1, 3), (2,), (3, 2), (4,))
    more = d.options(("axis", (0, -1))) + (
        d.options(("axisa", (0,)), ("axisc", (0,))) if name == "cross" else ""
    )
    return f"np.{name}({d.array(ANY, shapes, wild=False)}, {d.array(ANY, shapes, wild=False)}{more})"


def matrix(d: Source, several: tuple[tuple[int, ...], ...] = SQUARE) -> str:
    """A matrix whose factors are well determined."""
    shape = d.pick(*several)
    dtype = d.pick(*COMPUTED)
    if len(shape) < 2 or 0 in shape or dtype == "bool":
        return d.array((dtype,), (shape,), wild=False)
    pool = {"complex64": ["4+1j", "1", "-2j", "0.5", "5", "1+1j", "-1", "0.25j", "3-1j"]}.get(
        dtype, [4, 1, -2, 0, 5, 1, -1, 2, 3]
    )
    size = 1
    for n in shape:
        size *= n
    return f"A({(pool * 2)[:size]}, '{dtype}', {shape})"


def definite(d: Source) -> str:
    """A matrix that is Hermitian and positive definite, mostly."""
    return d.pick("A([4, 1, 0, 1, 5, 2, 0, 2, 6], 'float32', (3, 3))", "A([4, 1, 1, 5], 'int32', (2, 2))",
                  "A(['4', '1j', '-1j', '5'], 'complex64', (2, 2))", "A([], 'float32', (0, 0))",
                  "A([1, 2, 2, 1], 'float32', (2, 2))", matrix(d))  # fmt: skip


@entry("linalg.det linalg.inv linalg.slogdet")
def square(d: Source, name: str) -> str:
    return f"np.{name}({matrix(d)})"


@entry("linalg.eig linalg.eigvals")
def spectrum(d: Source, name: str) -> str:
    values = f"np.{name}({definite(d)})"
    return values if name == "linalg.eigvals" else f"np.sort_complex({values}[0])"


@entry("linalg.cholesky")
def cholesky(d: Source, name: str) -> str:
    return f"np.linalg.cholesky({definite(d)}{d.options(('upper', ('True',)), ('symmetrize_input', ('False',)))})"


@entry("linalg.eigh linalg.eigvalsh")
def eigh(d: Source, name: str) -> str:
    values = f"np.{name}({definite(d)}{d.options(('UPLO', (repr('U'), repr('L'), repr('X'))))})"
    return values if name == "linalg.eigvalsh" else f"{values}[0]"


@entry("linalg.svd linalg.svdvals linalg.cond linalg.matrix_rank linalg.pinv")
def singular(d: Source, name: str) -> str:
    x = matrix(d, ((3, 3), (2, 3), (3, 2), (2, 2, 3), (0, 3), (3,), ()))
    if name == "linalg.svd":
        return f"np.linalg.svd({x}, compute_uv=False)"
    more = {
        "linalg.cond": ("p", (1, "numpy.inf", repr("fro"), repr("x"), -2)),
        "linalg.pinv": ("rtol", (0.1,)),
    }
    return f"np.{name}({x}{d.options(more[name]) if name in more else ''})"


@entry("linalg.qr")
def qr(d: Source, name: str) -> str:
    mode = d.pick(repr("r"), repr("reduced"), repr("complete"), repr("x"))
    values = f"np.linalg.qr({matrix(d, ((3, 3), (3, 2), (2, 3), (2, 2, 2), (0, 2), (3,)))}, mode={mode})"
    return f"np.abs({values})" if mode == repr("r") else f"[np.abs(part) for part in {values}]"


@entry("linalg.lstsq")
def lstsq(d: Source, name: str) -> str:
    return f"np.linalg.lstsq({matrix(d, ((3, 3), (3, 2), (2, 3), (3,)))}, {d.array(REAL, ((3,), (3, 2), (2,)), wild=False)})"


@entry("linalg.solve")
def solve(d: Source, name: str) -> str:
    return f"np.linalg.solve({matrix(d)}, {d.array(ANY, ((3,), (3, 2), (2, 2, 1), (2,), ()), wild=False)})"


@entry("linalg.matrix_power")
def matrix_power(d: Source, name: str) -> str:
    return f"np.linalg.matrix_power({matrix(d)}, {d.pick(2, 0, 1, -1, 5, 1.5)})"


@entry("linalg.multi_dot")
def multi_dot(d: Source, name: str) -> str:
    parts = ", ".join(
        d.array(ANY, ((3, 3), (3, 2), (2, 3), (3,)), wild=False) for _ in range(d.pick(3, 2, 1))
    )
    return f"np.linalg.multi_dot([{parts}])"


@entry("linalg.norm")
def norm(d: Source, name: str) -> str:
    x, rank = d.shaped(shapes=SIDES)
    order = ("ord", (1, 2, 0, -1, "numpy.inf", "-numpy.inf", 3, repr("fro"), repr("nuc"), repr("x"), 2.5))
    return f"np.linalg.norm({x}{d.places(rank)}{d.options(order, ('keepdims', ('True',)))})"


@entry("linalg.vector_norm")
def vector_norm(d: Source, name: str) -> str:
    x, rank = d.shaped(shapes=SIDES)
    order = ("ord", (1, 0, -1, "numpy.inf", "-numpy.inf", 3, repr("x"), 2.5))
    return f"np.linalg.vector_norm({x}{d.places(rank)}{d.options(order, ('keepdims', ('True',)))})"


@entry("linalg.matrix_norm")
def matrix_norm(d: Source, name: str) -> str:
    order = ("ord", (1, 2, -1, "numpy.inf", repr("nuc"), repr("x"), 3))
    return (
        f"np.linalg.matrix_norm({d.array(ANY, SIDES, wild=False)}{d.options(order, ('keepdims', ('True',)))})"
    )


@entry("linalg.diagonal linalg.trace")
def diagonal(d: Source, name: str) -> str:
    more = d.options(("dtype", ("'float16'", "'int8'"))) if name == "linalg.trace" else ""
    return f"np.{name}({d.array(ANY, SIDES)}{d.options(('offset', (1, -1)))}{more})"


@entry("linalg.matrix_transpose")
def matrix_transpose(d: Source, name: str) -> str:
    return f"np.linalg.matrix_transpose({d.array(ANY, SIDES)})"


@entry("linalg.tensorinv")
def tensorinv(d: Source, name: str) -> str:
    return f"np.linalg.tensorinv({matrix(d, ((3, 3), (2, 2), (2, 3)))}, {d.pick('ind=1', 'ind=0', 'ind=2')})"


@entry("linalg.tensorsolve")
def tensorsolve(d: Source, name: str) -> str:
    return f"np.linalg.tensorsolve({matrix(d, ((3, 3), (2, 2), (2, 3)))}, {d.array(REAL, ((3,), (2,)), wild=False)})"


NORM = ("norm", (repr("ortho"), repr("forward"), repr("backward"), repr("x")))


@entry("fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft")
def transform(d: Source, name: str) -> str:
    x, rank = d.shaped(d.pick(("float32", "complex64"), ANY), wild=False)
    return f"np.{name}({x}{d.options(('n', (4, 2, 0, -1, 1)), NORM)}{d.places(rank, False, False)})"


@entry("fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2 fft.fftn fft.ifftn fft.rfftn fft.irfftn")
def transforms(d: Source, name: str) -> str:
    x = d.array(d.pick(("float32", "complex64"), ANY), ((2, 3), (3,), (), (2, 1, 3), (2, 0)), wild=False)
    return f"np.{name}({x}{d.options(('s', ((2, 2), (4,), (3, 3, 3), (2, 0))), ('axes', ((0, 1), (0,), (-1, -1), (0, 5))), NORM)})"


@entry("fft.fftfreq fft.rfftfreq")
def frequencies(d: Source, name: str) -> str:
    return f"np.{name}({d.pick(5, 4, 1, 0, -1, 2.5)}{d.options(('d', (2, 0.5, '1j')), ('dtype', (repr('float16'), repr('int32'), repr('complex64'))))})"


@entry("fft.fftshift fft.ifftshift")
def shifted(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.pick('', f', axes={d.axis(rank)}')})"
