"""What RESULTS.md says of goals that were missed: by how much, and what was tried.

Invariant: the notes say nothing of a figure, for figures change from run to run: these come from the run. A goal without a note
was met whenever it was measured before.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping

from bench import harness
from bench.case import OURS

# By the name of the case, or its end.
TRIED: Mapping[str, str] = {
    "jit: x + y, 10 elements": "A sixth of the time is ours, the rest mostly XLA's Execute. A pool of aligned memory took a fifth away; "
    "a lock for each size and another model of thread-local memory gave nothing more.",
    "lower(...), gradient of 24 transformer blocks": "Equations are recorded natively and shape rules asked once for the same arguments, which took nearly "
    "half of the time; what remains is spread over the rules and over freeing what was made.",
    "jit: x + 1, 4 MB": "Two threads that only read and write these 8 MB in the shared cache take twice the time that is wanted: the peers, "
    "too, reuse memory of this size. Threads that look on before they sleep took the handing over away. Huge pages made no difference; "
    "stores past the cache and a third buffer in turn were slower.",
    "gelu, a million": "Bound by multiplications and a division. Polynomials with a highest coefficient of 1 and a cheaper reduction of the "
    "exponent took a seventh off: level with PyTorch when measured by hand since, which is off by all of the result in the negative tail.",
    "layer norm of rows, (1024, 1024)": "XLA's loops, handed over to threads that look on before they sleep, which took a third off; met "
    "when measured by hand since, but processes of one run differ by a third.",
    "matmul, (65536, 32) by (32, 32)": "On one thread it is 4 % from what the processor's multipliers can do; on two the memory and the handing over of "
    "work add a fifth.",
    "convolution, 7x7, 3 to 64, 224, stride 2": "Threads that look on before they sleep took a tenth off; level with PyTorch when measured by hand since.",
    "sum of all, (2048, 2048)": "A kernel sums stored rows: 75 us in two threads, 147 in one. Handing over and the end took 30 more until threads "
    "looked on before they slept; level with PyTorch when measured by hand since.",
    "sum of rows, (2048, 2048)": "As for the sum of all.",
    "transpose, channels last to first": "Rows of squares went through memory by halves: a thread takes 0.55 of what it took since they do "
    "not, and 0.75 of JAX's time was measured by hand on a busy machine.",
    "cholesky, 512": "Met by turns in runs of one day; what bounds it was not investigated.",
    "solve, 512, 16 right sides": "Met by turns in runs of one day; what bounds it was not investigated.",
    "1,000 steps: first result, disk cache warm": "Met when measured by hand (0.28 to 0.30, more where other processes compute) since XLA's small pieces of memory are used again and positions "
    "are left out of what is read. Half of it are the 1,000 steps, on two processors: XLA makes, hands over and frees 600 buffers a step; a "
    "third is its reading of 14,000 instructions, which a thread begins ahead. Programs in pieces of any size take as long a step and "
    "four seconds to be compiled.",
    **dict.fromkeys(
        (
            "64 bodies, 100 steps of leapfrog: first result, disk cache warm",
            "256 by 256, 100 steps: first result, disk cache warm",
            "10,000 points, 10 steps: first result, disk cache warm",
            "1,000 members, 200 steps: first result, disk cache warm",
        ),
        "Met when measured by hand since modules come from one file and XLA's first wait is a thread's; what remains is mostly NumPy's "
        "import and ours.",
    ),
    "ResNet of 18 layers: first result, disk cache warm": "XLA's reading of the executable is mostly of the program's instructions, which it "
    "builds anew, twice; the machine code is a small part. Memory that is used again and positions that are left out took a quarter of "
    "that away; a thread reads while another has the code of products made.",
    "HMC, logistic regression: first result, disk cache warm": "Met when measured by hand (0.26) since what XLA reads is made of memory that is used "
    "again and positions are left out of it: it read the executable for longer than Python traces and lowers.",
}


def section(rows: Iterable[harness.Row]) -> str:
    """The section of the rows whose verdict is against us, in their order."""
    lines = [
        f"- **{row.case.name}**: {'; '.join(_by_how_much(row))}. {_tried(row.case.name)}"
        for row in rows
        if row.verdict() is False
    ]
    return "\n".join(["## Goals that were missed", "", *(lines or ["None."])])


def _by_how_much(row: harness.Row) -> Iterator[str]:
    """Each bound that does not hold."""
    if OURS in row.errors:
        yield f"no figure, {row.errors[OURS]}"
        return
    ours = row.median(OURS)
    if row.case.at_most is not None and ours is not None and ours > row.case.at_most:
        yield f"{harness.show(ours, row.case.unit)} where at most {row.case.at_most:g} is wanted"
    for peer, limit in row.case.limits.items():
        ratios = row.ratios(peer)
        if not ratios:
            yield f"no figure of {peer}"
        elif statistics.median(ratios) > limit:
            yield f"{statistics.median(ratios):.2f} of {peer} where {limit:g} is wanted"


def _tried(name: str) -> str:
    found = [note for key, note in TRIED.items() if name.endswith(key)]
    return found[0] if found else "Nothing yet: it was met before, or is new."
