"""Functions that repeat: `for` over values and shapes, `while`, with `break`, `continue`, `else` and returns inside."""

# ruff: noqa: B007, SIM, PIE, RET, RUF015  (written as people write)

import anima.numpy as np


def sum_of(x):
    s = 0
    for v in x:
        s += v
    return s


def triangle(n):
    s = 0
    for i in range(n):
        s += i
    return s


def range_steps(a, b):
    s = 0
    for i in range(a, b, 3):
        s = s * 2 + i
    return s


def backwards(n):
    s = 0
    for i in range(n, 0, -2):
        s = s * 3 + i
    return s


def last_item(x):
    for v in x:
        last = v * 2
    return last


def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


def newton_sqrt(a):
    x = a
    for _ in range(30):
        new = 0.5 * (x + a / x)
        if abs(new - x) < 1e-6:
            break
        x = new
    return new


def newton_while(a):
    x, old = a, 0.0
    while abs(x - old) > 1e-5:
        old = x
        x = 0.5 * (x + a / x)
    return x


def bisection(target):
    low, high = 0.0, 10.0
    for _ in range(40):
        middle = (low + high) / 2
        if middle * middle > target:
            high = middle
        else:
            low = middle
    return low


def binary_search(x, wanted):
    low, high = 0, len(x) - 1
    while low <= high:
        middle = (low + high) // 2
        if x[middle] == wanted:
            return middle
        if x[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1


def mandelbrot(c):
    z = 0j
    for n in range(50):
        if abs(z) > 2:
            return n
        z = z * z + c
    return 50


def argmax(x):
    best, where = x[0], 0
    for i, v in enumerate(x):
        if v > best:
            best, where = v, i
    return where


def first_negative(x):
    for i, v in enumerate(x):
        if v < 0:
            return i
    return -1


def find_else(x, wanted):
    for i in range(len(x)):
        if x[i] == wanted:
            break
    else:
        return -1
    return i


def while_else(n):
    k, result = 2, 0
    while k * k <= n:
        if n % k == 0:
            result = k
            break
        k += 1
    else:
        result = n
    return result


def count_primes(n):
    count = 0
    for k in range(2, n):
        for d in range(2, k):
            if d * d > k:
                count += 1
                break
            if k % d == 0:
                break
        else:
            count += 1
    return count


def skip_odd(n):
    s = 0
    for i in range(n):
        if i % 2:
            continue
        s += i
    return s


def dot(x, y):
    s = 0.0
    for a, b in zip(x, y):
        s += a * b
    return s


def horner(coefficients, x):
    r = 0
    for c in coefficients:
        r = r * x + c
    return r


def over_shape(x):
    s = 0.0
    for i in range(x.shape[0]):
        for j in range(i + 1):
            if x[i, j] > 0:
                s += x[i, j]
    return s


def collected(x):
    out = []
    for v in x:
        if v > 0:
            out.append(v * 2)
        else:
            out.append(-v)
    return out


def running_max(x):
    best = -np.inf
    seen = []
    for v in x:
        best = max(best, v)
        seen.append(best)
    return np.stack(seen)


def digits(n):
    s = 0
    while n > 0:
        n, d = divmod(n, 10)
        s += d
    return s


def walrus(n):
    s = 0
    while (n := n - 2) > 0:
        s += n
    return s


def forever(n):
    k = 0
    while True:
        k += 1
        if k * k > n:
            return k


def static_loop(x):
    for name in ["a", "b", "c"]:
        if x > ord(name) - 97:
            x = x + 1
    return x


def mixed_flow(x):
    total = 0.0
    for v in x:
        if v < 0:
            continue
        if v > 100:
            return -1.0
        total += v
        if total > 10:
            break
    return total


def matrix_power(a, n):
    result = np.eye(2)
    while n > 0:
        if n % 2 == 1:
            result = result @ a
        a = a @ a
        n = n // 2
    return result


def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def retyped_temporary(x):
    t = x
    s = 0.0
    for k in range(3):
        t = np.ones(k + 1) * x
        if x > k:
            s += t.sum()
    return s


def comprehension(x):
    squares = [k * k for k in range(4) if k != 2]
    s = 0
    for q in squares:
        s = s + q if x > q else s
    return s + sum([x for _ in squares])


def until_converged(x):
    for i in range(20):
        y = np.cos(x)
        if np.abs(y - x).max() < 1e-3:
            break
        x = y
    return x, i


def temporary_containers(x):
    n = 0
    while x > 1:
        halves = {}
        halves["one"] = x / 2
        if x > 4:
            parts = []
            parts.append(1)
            n += len(parts)
        x = halves["one"]
        n += 1
    return x, n


class Pair:
    def __init__(self, a):
        self.a, self.b = a, 0


def temporary_objects(x):
    n = 0
    while x > 1:
        pair = Pair(x)
        pair.b = pair.a / 2
        if pair.b > 2:
            pair.a += 1
            other = Pair(1)
            other.c = 5
            n += other.c
        x = pair.b
        n += 1 if pair.a > x else 2
    return x, n


def nested_return(x):
    r = 0
    for i in range(3):
        for v in x:
            if v > i:
                while v > i:
                    v = v - 1
                    r += 1
                    if r > 10:
                        return r
    return r


def finally_in_loop(x):
    s = 0
    for i in range(3):
        try:
            if i == 1:
                continue
            s += x
        finally:
            s += 1
    return s


def reversed_rows(x):
    s = 0
    for v in reversed(x):
        s = s * 2 + v
    return s


A = np.array
X = A([3.0, -1.0, 4.0, 1.5])
CASES = [
    (sum_of, [(X,), (A([1, 2, 3]),)]),
    (triangle, [(0,), (5,)]),
    (range_steps, [(0, 10), (5, 5), (-4, 9)]),
    (backwards, [(7,), (8,), (0,)]),
    (last_item, [(X,)]),
    (collatz, [(1,), (27,)]),
    (gcd, [(12, 18), (17, 5), (0, 4)]),
    (newton_sqrt, [(2.0,), (9.0,)]),
    (newton_while, [(2.0,), (9.0,)]),
    (bisection, [(2.0,), (50.0,)]),
    (binary_search, [(A([1, 3, 5, 7, 9]), 7), (A([1, 3, 5, 7, 9]), 4)]),
    (mandelbrot, [(0.1 + 0.1j,), (1.0 + 1.0j,)]),
    (argmax, [(X,), (-X,)]),
    (first_negative, [(X,), (abs(X),)]),
    (find_else, [(A([4, 5, 6]), 5), (A([4, 5, 6]), 9)]),
    (while_else, [(15,), (13,), (4,)]),
    (count_primes, [(10,), (20,)]),
    (skip_odd, [(7,), (1,)]),
    (dot, [(X, X + 1)]),
    (horner, [(X, 2.0)]),
    (over_shape, [(np.arange(9.0).reshape(3, 3) - 3,)]),
    (collected, [(X,)]),
    (running_max, [(X,)]),
    (digits, [(9075,), (0,)]),
    (walrus, [(9,), (1,)]),
    (forever, [(0,), (80,)]),
    (static_loop, [(0,), (1,), (5,)]),
    (mixed_flow, [(X,), (X * 3,), (X * 40,)]),
    (matrix_power, [(A([[1.0, 1.0], [1.0, 0.0]]), 10)]),
    (fibonacci, [(0,), (10,)]),
    (retyped_temporary, [(1.5,), (9.0,)]),
    (comprehension, [(2,), (20,)]),
    (temporary_containers, [(9.0,), (1.0,)]),
    (temporary_objects, [(9.0,), (1.0,)]),
    (nested_return, [(np.arange(5.0),), (np.arange(2.0),)]),
    (finally_in_loop, [(2.0,)]),
    (reversed_rows, [(X,)]),
    (until_converged, [(A([0.5, 1.0]),)]),
]
