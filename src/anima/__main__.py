"""`python -m anima script.py`: runs a program in which `import jax` gives this library.

Invariant: apart from the alias a program finds what `python` itself would give it: its name, arguments and search path.
"""

from __future__ import annotations

import os
import runpy
import sys

from anima.compat import install_jax_alias

USAGE = """\
usage: python -m anima script.py [argument ...]
       python -m anima -m module [argument ...]
       python -m anima -c program [argument ...]

Runs a Python program in which `import jax` gives this library, also where JAX is installed.
"""


def main(arguments: list[str]) -> int:
    """Run the program that the command line names; the exit status, 2 if it names none."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    first = arguments[0]
    if first in ("-m", "-c") and len(arguments) < 2:
        print(f"argument expected for the {first} option\n{USAGE}", end="", file=sys.stderr)
        return 2
    install_jax_alias()
    if first == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        if not os.path.exists(first):
            print(f"python -m anima: there is no file {first}", file=sys.stderr)
            return 2
        sys.argv = arguments
        sys.path[0] = os.path.dirname(os.path.abspath(first))
        runpy.run_path(first, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
