// Passes of Fourier transforms, for processors with registers of 64 bytes and for others.
#include "kernels/fft_lanes.h"

#include <algorithm>
#include <cstring>

#include "kernels/clones.h"
#include "kernels/fft_butterflies.h"

namespace anima::kernels {
namespace {

constexpr int kNarrow = 32, kWide = 64;  // bytes of a vector

template <typename T, int kBytes>
struct LanesOf {
  typedef T V __attribute__((vector_size(kBytes)));
  static constexpr int kLanes = kBytes / sizeof(T);
};

// --- vectors -----------------------------------------------------------------------------------

// In each lane the element number `Place::of(lane)` of `a` and `b`, taken as one row.
template <typename Place, typename V, int... kLane>
ANIMA_INLINE void place(V& to, const V& a, const V& b, std::integer_sequence<int, kLane...>) {
  to = __builtin_shufflevector(a, b, Place::of(kLane)...);
}
template <typename Place, typename V>
ANIMA_INLINE void place(V& to, const V& a, const V& b) {
  place<Place>(to, a, b, std::make_integer_sequence<int, sizeof(V) / sizeof(a[0])>());
}

template <int kFirst>
struct EverySecond {
  static constexpr int of(int lane) { return 2 * lane + kFirst; }
};
template <int kLanes, int kFirst>
struct InTurn {  // one of each, from lane kFirst on
  static constexpr int of(int lane) { return kFirst + lane / 2 + lane % 2 * kLanes; }
};
template <int kLanes>
struct Backwards {
  static constexpr int of(int lane) { return kLanes - 1 - lane; }
};
// Squares of kSide lanes beside the diagonal change places.
template <int kLanes, int kSide>
struct Upper {
  static constexpr int of(int lane) { return lane & kSide ? kLanes + (lane ^ kSide) : lane; }
};
template <int kLanes, int kSide>
struct Lower {
  static constexpr int of(int lane) { return lane & kSide ? kLanes + lane : lane ^ kSide; }
};

template <typename T, typename V>
ANIMA_INLINE void load_cell(const T* p, V& re, V& im) {
  std::memcpy(&re, p, sizeof re);
  std::memcpy(&im, p + sizeof(V) / sizeof(T), sizeof im);
}
template <typename T, typename V>
ANIMA_INLINE void store_cell(T* p, const V& re, const V& im) {
  std::memcpy(p, &re, sizeof re);
  std::memcpy(p + sizeof(V) / sizeof(T), &im, sizeof im);
}

// Complex numbers that lie together.
template <typename T, typename V>
ANIMA_INLINE void load_row(const T* p, V& re, V& im) {
  V a, b;
  load_cell(p, a, b);
  place<EverySecond<0>>(re, a, b);
  place<EverySecond<1>>(im, a, b);
}
template <typename T, typename V>
ANIMA_INLINE void store_row(T* p, const V& re, const V& im) {
  constexpr int kLanes = sizeof(V) / sizeof(T);
  V a, b;
  place<InTurn<kLanes, 0>>(a, re, im);
  place<InTurn<kLanes, kLanes / 2>>(b, re, im);
  store_cell(p, a, b);
}

template <Lying kLying, typename T, typename V>
ANIMA_INLINE void load(const T* p, V& re, V& im) {
  kLying == Lying::kRows ? load_row(p, re, im) : load_cell(p, re, im);
}
template <Lying kLying, typename T, typename V>
ANIMA_INLINE void store(T* p, const V& re, const V& im) {
  kLying == Lying::kRows ? store_row(p, re, im) : store_cell(p, re, im);
}

// As many vectors as each has lanes: rows become columns.
template <int kLanes, int kSide = kLanes / 2, typename V>
ANIMA_INLINE void turn_square(V* rows) {
  if constexpr (kSide > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i & kSide) continue;
      const V a = rows[i], b = rows[i | kSide];
      place<Upper<kLanes, kSide>>(rows[i], a, b);
      place<Lower<kLanes, kSide>>(rows[i | kSide], a, b);
    }
    turn_square<kLanes, kSide / 2>(rows);
  }
}

// --- passes ------------------------------------------------------------------------------------

template <typename T, int kBytes, int kRadix, Lying kLying>
ANIMA_INLINE void spread(const FftPass<T>& p) {
  using V = typename LanesOf<T, kBytes>::V;
  const int64_t step = p.length / kRadix;
  for (int64_t block = 0; block < p.blocks; ++block) {
    const T* from = p.from + block * p.length * p.from_step;
    T* to = p.to + block * p.length * p.to_step;
    const T* factor = p.factors;
    for (int64_t j = 0; j < step; ++j, from += p.from_step, to += p.to_step, factor += 2 * (kRadix - 1)) {
      V re[kRadix], im[kRadix];
#pragma GCC unroll 8
      for (int i = 0; i < kRadix; ++i) load<kLying>(from + i * step * p.from_step, re[i], im[i]);
      Butterfly<T, V, kRadix>::run(re, im);
      store_cell(to, re[0], im[0]);
#pragma GCC unroll 8
      for (int i = 1; i < kRadix; ++i) {
        const T a = factor[2 * i - 2], b = factor[2 * i - 1];
        const V x = re[i] * a - im[i] * b, y = re[i] * b + im[i] * a;
        store_cell(to + i * step * p.to_step, x, y);
      }
    }
  }
}

template <typename T, int kBytes, int kRadix, Lying kLying>
ANIMA_INLINE void gather(const FftPass<T>& p) {
  using V = typename LanesOf<T, kBytes>::V;
  const T* from = p.from;
  const int32_t* order = p.order;
  for (int64_t block = 0; block < p.blocks; ++block, from += kRadix * p.from_step, order += kRadix) {
    V re[kRadix], im[kRadix];
#pragma GCC unroll 8
    for (int i = 0; i < kRadix; ++i) load_cell(from + i * p.from_step, re[i], im[i]);
    Butterfly<T, V, kRadix>::run(re, im);
#pragma GCC unroll 8
    for (int i = 0; i < kRadix; ++i) {
      const V x = re[i] * p.scale, y = im[i] * p.scale;
      store<kLying>(p.to + order[i] * p.to_step, x, y);
    }
  }
}

// --- rows and columns of memory ----------------------------------------------------------------

// `here` elements of a row, or a whole vector where memory does not end before it does.
template <typename T, typename V>
ANIMA_INLINE void load_some(const T* from, const T* end, int64_t here, V& re, V& im) {
  constexpr int kRow = 2 * sizeof(V) / sizeof(T);
  if (from + kRow <= end) return load_row(from, re, im);
  T rest[kRow] = {};
  std::memcpy(rest, from, 2 * here * sizeof(T));
  load_row(rest, re, im);
}
template <typename T, typename V>
ANIMA_INLINE void store_some(T* to, const T* end, int64_t here, const V& re, const V& im) {
  constexpr int kRow = 2 * sizeof(V) / sizeof(T);
  if (to + kRow <= end) return store_row(to, re, im);
  T rest[kRow];
  store_row(rest, re, im);
  std::memcpy(to, rest, 2 * here * sizeof(T));
}

// The first columns of a square, as cells.
template <int kLanes, typename T, typename V>
ANIMA_INLINE void store_turned(T* cells, V* re, V* im, int64_t columns) {
  turn_square<kLanes>(re);
  turn_square<kLanes>(im);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i < columns) store_cell(cells + i * 2 * kLanes, re[i], im[i]);
  }
}

// Squares of lanes and elements, from memory to cells or back. The last one lies over the one before, if the
// rows do not end with a square; rows that are shorter than one are read and written past their ends, into
// the next ones, which are written later; but the last of a block are not.
template <typename T, int kBytes, bool kIn>
ANIMA_INLINE void rows(const FftBlock<T>& b) {
  using V = typename LanesOf<T, kBytes>::V;
  constexpr int kLanes = LanesOf<T, kBytes>::kLanes;
  const T* end = b.memory + b.count * b.step;
  const int64_t here = std::min<int64_t>(kLanes, b.n);
  for (int64_t j = 0; j < b.n; j += kLanes) {
    const int64_t at = std::min(j, b.n - here);
    T* cells = b.cells + at * 2 * kLanes;
    V re[kLanes], im[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (kIn) {
        const T* from = b.memory + std::min<int64_t>(i, b.count - 1) * b.step + 2 * at;
        load_some(from, end, here, re[i], im[i]);
      } else {
        load_cell(cells + std::min<int64_t>(i, here - 1) * 2 * kLanes, re[i], im[i]);
      }
    }
    if (kIn) {
      store_turned<kLanes>(cells, re, im, here);
      continue;
    }
    turn_square<kLanes>(re);
    turn_square<kLanes>(im);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i < b.count) store_some(b.memory + i * b.step + 2 * at, end, here, re[i], im[i]);
    }
  }
}

template <typename T, int kBytes>
ANIMA_INLINE void columns_in(const FftBlock<T>& b) {
  using V = typename LanesOf<T, kBytes>::V;
  constexpr int kLanes = LanesOf<T, kBytes>::kLanes;
  T row[2 * kLanes] = {};
  for (int64_t j = 0; j < b.n; ++j) {
    V re, im;
    std::memcpy(row, b.memory + j * b.step, 2 * b.count * sizeof(T));
    load_row(row, re, im);
    store_cell(b.cells + j * 2 * kLanes, re, im);
  }
}

template <typename T, int kBytes>
ANIMA_INLINE void columns_out(const FftBlock<T>& b) {
  using V = typename LanesOf<T, kBytes>::V;
  constexpr int kLanes = LanesOf<T, kBytes>::kLanes;
  for (int64_t j = 0; j < b.n; ++j) {
    V re, im;
    T row[2 * kLanes];
    load_cell(b.cells + j * 2 * kLanes, re, im);
    store_row(row, re, im);
    std::memcpy(b.memory + j * b.step, row, 2 * b.count * sizeof(T));
  }
}

template <typename T, int kBytes>
ANIMA_INLINE void turn(const FftTurn<T>& t) {
  using V = typename LanesOf<T, kBytes>::V;
  constexpr int kLanes = LanesOf<T, kBytes>::kLanes;
  const T *group = t.from, *factors = t.by_group;
  for (int64_t j = 0; j < t.n; j += kLanes, group += t.from_step, factors += t.factor_step) {
    const int64_t here = std::min<int64_t>(kLanes, t.n - j);
    V re[kLanes], im[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      const int64_t lane = std::min<int64_t>(i, t.count - 1);
      V x, y, a, b;
      load_cell(group + lane * 2 * kLanes, x, y);
      load_cell(t.by_lane + lane * 2 * kLanes, a, b);
      const T c = factors[2 * lane], d = factors[2 * lane + 1];
      const V e = a * c - b * d, f = a * d + b * c;
      re[i] = x * e - y * f;
      im[i] = x * f + y * e;
    }
    store_turned<kLanes>(t.cells + j * 2 * kLanes, re, im, here);
  }
}

// --- real numbers ------------------------------------------------------------------------------
//
// 2 n real numbers x are taken as n complex ones, z[j] = x[2j] + i x[2j+1]. With E and O the transforms of
// those with even and with odd places, Z = E + i O and X = E + w O, where w = exp(-i pi k / n). Results k and
// n - k are found together.

template <bool kBack, typename V, typename T>
ANIMA_INLINE void halve(V& a, V& b, V& c, V& d, const V& u, const V& v, T half) {
  const V even_re = (a + c) * half, even_im = (b - d) * half;
  if constexpr (kBack) {
    const V re = (a - c) * half, im = (b + d) * half;
    const V odd_re = re * u + im * v, odd_im = im * u - re * v;
    a = even_re - odd_im, b = even_im + odd_re;
    c = even_re + odd_im, d = odd_re - even_im;
  } else {
    const V re = (b + d) * half, im = (c - a) * half;
    const V odd_re = re * u - im * v, odd_im = re * v + im * u;
    a = even_re + odd_re, b = even_im + odd_im;
    c = even_re - odd_re, d = odd_im - even_im;
  }
}

template <typename T, int kBytes, bool kBack>
ANIMA_INLINE void halves(const FftHalves<T>& h) {
  using V = typename LanesOf<T, kBytes>::V;
  constexpr int kCell = 2 * LanesOf<T, kBytes>::kLanes;
  for (int64_t k = 0; 2 * k <= h.n; ++k) {
    T *low = h.cells + k * kCell, *high = h.cells + (h.n - k) * kCell;
    V a, b, c, d;
    load_cell(low, a, b);
    load_cell(k == 0 && !kBack ? low : high, c, d);
    if (k == 0 && kBack) b = d = V{};
    const V u = V{} + h.factors[2 * k], v = V{} + h.factors[2 * k + 1];
    halve<kBack>(a, b, c, d, u, v, T(0.5));
    store_cell(high, c, d);
    store_cell(low, a, b);
  }
}

template <typename T, int kBytes, bool kBack>
ANIMA_INLINE void row_halves(const FftRowHalves<T>& h) {
  using V = typename LanesOf<T, kBytes>::V;
  constexpr int kLanes = LanesOf<T, kBytes>::kLanes;
  T a = h.from[0], b = h.from[1], c = a, d = b, one = 1, zero = 0;
  if (kBack) c = h.from[2 * h.n], b = d = 0;
  halve<kBack>(a, b, c, d, one, zero, T(0.5));
  h.to[0] = a, h.to[1] = b;
  if (!kBack) h.to[2 * h.n] = c, h.to[2 * h.n + 1] = d;
  int64_t k = 1, group = 0;
  for (; 2 * (k + kLanes - 1) < h.n; k += kLanes, ++group) {
    const int64_t other = h.n - k - kLanes + 1;
    V a, b, c, d, u, v;
    load_row(h.from + 2 * k, a, b);
    load_row(h.from + 2 * other, c, d);
    place<Backwards<kLanes>>(c, c, c);
    place<Backwards<kLanes>>(d, d, d);
    load_cell(h.by_lane, u, v);
    const T p = h.by_group[2 * group], q = h.by_group[2 * group + 1];
    const V w = u * p - v * q, x = u * q + v * p;
    halve<kBack>(a, b, c, d, w, x, T(0.5));
    store_row(h.to + 2 * k, a, b);
    place<Backwards<kLanes>>(c, c, c);
    place<Backwards<kLanes>>(d, d, d);
    store_row(h.to + 2 * other, c, d);
  }
  for (; 2 * k <= h.n; ++k) {
    const int64_t lane = (k - 1) % kLanes, other = h.n - k;
    const T u = h.by_lane[lane], v = h.by_lane[lane + kLanes];
    const T *factor = h.by_group + (k - 1) / kLanes * 2, p = factor[0], q = factor[1];
    T a = h.from[2 * k], b = h.from[2 * k + 1], c = h.from[2 * other], d = h.from[2 * other + 1];
    T w = u * p - v * q, x = u * q + v * p;
    halve<kBack>(a, b, c, d, w, x, T(0.5));
    h.to[2 * other] = c, h.to[2 * other + 1] = d;
    h.to[2 * k] = a, h.to[2 * k + 1] = b;
  }
}

// --- the tables --------------------------------------------------------------------------------

struct Narrow {
  template <auto kBody, typename Arguments>
  ANIMA_CLONES static void run(const Arguments& arguments) {
    kBody(arguments);
  }
};

#ifdef ANIMA_HAS_WIDE
struct Wide {
  template <auto kBody, typename Arguments>
  ANIMA_WIDE static void run(const Arguments& arguments) {
    kBody(arguments);
  }
};
#endif

template <typename How, typename T, int kBytes, Lying kLying, int... kRadix>
void set_passes(FftEngine<T>& e) {
  constexpr int at = static_cast<int>(kLying);
  ((e.spread[at][kRadix] = &How::template run<&spread<T, kBytes, kRadix, kLying>, FftPass<T>>), ...);
  ((e.gather[at][kRadix] = &How::template run<&gather<T, kBytes, kRadix, kLying>, FftPass<T>>), ...);
  e.gather[at][1] = &How::template run<&gather<T, kBytes, 1, kLying>, FftPass<T>>;
}

template <typename How, typename T, int kBytes>
FftEngine<T> engine() {
  FftEngine<T> e = {};
  e.lanes = LanesOf<T, kBytes>::kLanes;
  set_passes<How, T, kBytes, Lying::kCells, 2, 3, 4, 5, 7, 8>(e);
  set_passes<How, T, kBytes, Lying::kRows, 2, 3, 4, 5, 7, 8>(e);
  e.rows_in = &How::template run<&rows<T, kBytes, true>, FftBlock<T>>;
  e.rows_out = &How::template run<&rows<T, kBytes, false>, FftBlock<T>>;
  e.columns_in = &How::template run<&columns_in<T, kBytes>, FftBlock<T>>;
  e.columns_out = &How::template run<&columns_out<T, kBytes>, FftBlock<T>>;
  e.turn = &How::template run<&turn<T, kBytes>, FftTurn<T>>;
  e.spectrum_of_halves = &How::template run<&halves<T, kBytes, false>, FftHalves<T>>;
  e.halves_of_spectrum = &How::template run<&halves<T, kBytes, true>, FftHalves<T>>;
  e.row_spectrum_of_halves = &How::template run<&row_halves<T, kBytes, false>, FftRowHalves<T>>;
  e.row_halves_of_spectrum = &How::template run<&row_halves<T, kBytes, true>, FftRowHalves<T>>;
  return e;
}

}  // namespace

template <typename T>
const FftEngine<T>& fft_engine() {
#ifdef ANIMA_HAS_WIDE
  static const FftEngine<T> made = has_wide() ? engine<Wide, T, kWide>() : engine<Narrow, T, kNarrow>();
#else
  static const FftEngine<T> made = engine<Narrow, T, kNarrow>();
#endif
  return made;
}
template const FftEngine<float>& fft_engine<float>();
template const FftEngine<double>& fft_engine<double>();

}  // namespace anima::kernels
