// Maxima, minima and sums of windows, as in pooling.
//
// One dimension after the other, the outermost first: the rows that a window spans become one row, which
// stays in the cache, and then its elements are combined likewise. So 3x3 windows cost 3 + 3 operations an
// element, and all but the last of these dimensions run along memory, wherever the channels are. Where
// windows overlap little, the elements of the last two dimensions are combined at once.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/clones.h"
#include "kernels/parallel.h"
#include "kernels/running.h"
#include "kernels/vectors.h"
#include "kernels/windows.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread
constexpr int64_t kTogether = 8;     // rows that are combined before their elements are

// What is done to each result: `zero` is added or taken away, and sums are multiplied by `factor`, as for
// means.
template <typename C>
struct Finish {
  C zero, factor = 1;
};

// Equal zeros of different signs count as 0 and -0 do: 0 is greater. A NaN beats all; where it is known that
// there are none, half of the instructions do.
template <typename T, bool kMost, bool kNans = true>
struct ExtremumOf {
  using Quick = ExtremumOf<T, kMost, false>;
  using C = T;
  using V = typename VectorOf<T>::V;
  using Single = Extremum<T, kMost>;
  static constexpr T kNeutral =
      kMost ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();

  static ANIMA_INLINE void combine(V& a, const V& b) {
    // Each choice is one instruction; they differ where the two numbers are equal, or one is a NaN.
    const V second = kMost ? (a > b ? a : b) : (a < b ? a : b);
    const V first = kMost ? (b > a ? b : a) : (b < a ? b : a);
    typename VectorOf<T>::Mask x, y;
    std::memcpy(&x, &first, sizeof x);
    std::memcpy(&y, &second, sizeof y);
    x = kMost ? x & y : x | y;
    if (kNans) x |= (a != a) | (b != b);
    std::memcpy(&a, &x, sizeof x);
  }
  // Under flags that take subnormal numbers for 0, they become it here.
  template <typename X>
  static ANIMA_INLINE void finish(X& x, const Finish<T>& by) {
    x = x - by.zero;
  }
};

template <typename T>
struct SumOf {
  using Quick = SumOf;
  using C = T;
  using V = typename VectorOf<T>::V;
  struct Single {
    T total = 0;
    ANIMA_INLINE void add(T x) { total += x; }
    ANIMA_INLINE T value() const { return total; }
  };
  static constexpr T kNeutral = 0;
  static ANIMA_INLINE void combine(V& a, const V& b) { a = a + b; }
  template <typename X>
  static ANIMA_INLINE void finish(X& x, const Finish<T>& by) {
    x = (x + by.zero) * by.factor;  // no sum is -0
  }
};

// The combination of p[k][at] over `count` pointers.
template <typename Op, typename In>
ANIMA_INLINE typename Op::C fold_single(const In* const* p, int64_t at, int64_t count) {
  typename Op::Single total;
  for (int64_t k = 0; k < count; ++k) {
    typename Op::C x;
    load(&x, p[k] + at);
    total.add(x);
  }
  return total.value();
}

typedef int64_t FourParts __attribute__((vector_size(32)));

// Rows that are folded one after the other, since calls for short ones would take as long as the work: of `n`
// results, each the combination of `taps` elements; from one row to the next pointers move by `from` and
// `to`.
struct Rows {
  int64_t taps, n, count = 1, from = 0, to = 0;
};

// How rows are folded: `kOp` combines, and where it `kWatches`, sums show whether a NaN was among the
// elements (or two infinities that cancel).
template <typename Kind, int kEvery, int kMany, bool kWatching>
struct How {
  using Op = Kind;
  static constexpr int kStride = kEvery, kCount = kMany;  // 0: any number of pointers
  static constexpr bool kWatches = kWatching;
};

// out[i] = the combination of p[k][i * kStride] over the pointers, for the next elements of some vectors.
template <typename How, int kVectors, typename In, typename Out>
ANIMA_INLINE void fold_vectors(Out* out, const In* const* p, int64_t first, int64_t taps, int64_t i,
                               const Finish<typename How::Op::C>& finish,
                               typename VectorOf<typename How::Op::C>::Mask& odd) {
  using Op = typename How::Op;
  using Of = VectorOf<typename Op::C>;
  constexpr int64_t kStep = Of::kSize * How::kStride;
  const int64_t from = first + i * How::kStride;
  typename Of::V total[kVectors], sums[kVectors], next;
  for (int v = 0; v < kVectors; ++v) {
    load<How::kStride>(total[v], p[0] + from + v * kStep);
    sums[v] = total[v];
  }
  for (int64_t k = 1; k < (How::kCount != 0 ? How::kCount : taps); ++k) {
    for (int v = 0; v < kVectors; ++v) {
      load<How::kStride>(next, p[k] + from + v * kStep);
      Op::combine(total[v], next);
      if (How::kWatches) sums[v] += next;
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    if (How::kWatches) odd |= sums[v] != sums[v];
    Op::finish(total[v], finish);
    settle<How::kStride>(total[v]);
    store(out + i + v * Of::kSize, total[v]);
  }
}

// The last vector overlaps the one before, since single elements would take longer than all the rest of a
// short row. Returns whether there was nothing odd, if that was watched for.
template <typename How, typename In, typename Out>
ANIMA_CLONES bool fold_rows(Out* out, const In* const* p, const Rows& rows,
                            const Finish<typename How::Op::C>& by) {
  const Finish<typename How::Op::C> finish = by;  // or each store might change it
  using Of = VectorOf<typename How::Op::C>;
  constexpr int64_t kSize = Of::kSize;
  const int64_t taps = rows.taps, n = rows.n;
  typename Of::Mask odd{};
  bool clean = true;
  for (int64_t row = 0; row < rows.count; ++row, out += rows.to) {
    const int64_t first = row * rows.from;
    int64_t i = 0;
    for (; i + 2 * kSize <= n; i += 2 * kSize) fold_vectors<How, 2>(out, p, first, taps, i, finish, odd);
    if (n >= kSize) {
      for (; i < n; i += kSize)
        fold_vectors<How, 1>(out, p, first, taps, std::min(i, n - kSize), finish, odd);
      continue;
    }
    for (; i < n; ++i) {
      typename How::Op::C x = fold_single<typename How::Op>(p, first + i * How::kStride, taps);
      clean = clean && x == x;
      How::Op::finish(x, finish);
      store(out + i, x);
    }
  }
  if (!How::kWatches || n < kSize) return clean || !How::kWatches;
  const auto parts = reinterpret_cast<FourParts>(odd);
  return ((parts[0] | parts[1]) | (parts[2] | parts[3])) == 0;
}

template <typename Op, int kStride, bool kWatches, typename In, typename Out>
bool fold_counted(Out* out, const In* const* p, const Rows& rows, const Finish<typename Op::C>& finish) {
  switch (rows.taps) {
    case 2:
      return fold_rows<How<Op, kStride, 2, kWatches>>(out, p, rows, finish);
    case 3:
      return fold_rows<How<Op, kStride, 3, kWatches>>(out, p, rows, finish);
    default:
      return fold_rows<How<Op, kStride, 0, kWatches>>(out, p, rows, finish);
  }
}

// Rows, of which it may be known that they are `clean`, without NaNs. Returns whether the results are.
template <typename Op, int kStride, typename In, typename Out>
bool fold(Out* out, const In* const* p, const Rows& rows, const Finish<typename Op::C>& finish,
          bool clean = false) {
  using Quick = typename Op::Quick;
  if (clean || std::is_same_v<Op, Quick>) return fold_counted<Quick, kStride, false>(out, p, rows, finish);
  if (fold_counted<Quick, kStride, true>(out, p, rows, finish)) return true;
  fold_counted<Op, kStride, false>(out, p, rows, finish);
  return false;
}

template <typename Op, typename Stored>
class Pool {
  using C = typename Op::C;

 public:
  Pool(const Windows& windows, C factor)
      : windows_(windows), finish_{opaque_, factor}, wide_(windows[windows.last]) {
    // A row between two dimensions gets margins as wide as the padding, so that no place at its ends is
    // special.
    const int64_t needed = (wide_.count - 1) * wide_.stride + (wide_.size - 1) * wide_.step + 1;
    margins_ = windows.first < windows.last && !windows[windows.last - 1].plain && wide_.base == 1 &&
               wide_.low >= 0 && std::max(wide_.low, needed) <= 2 * wide_.n + 64;
    wide_.n = std::max(wide_.low + wide_.n, needed);
    wide_.low = 0;
    wide_.find_inside();
  }

  void run(ffi::CallFrame& frame, const Stored* x, Stored* y) const {
    const Window& first = windows_[windows_.first];
    const bool whole_rows = windows_.first == windows_.last;
    const int64_t places = whole_rows ? 1 : first.count;
    const int64_t work = whole_rows ? first.n * first.in_stride : first.size * first.in_stride;
    int64_t scratch = 0;
    for (int64_t d = windows_.first; d < windows_.last; ++d) {
      if (!windows_[d].plain) scratch += windows_[d].in_stride;
    }
    if (margins_) scratch += kTogether * wide_.n * wide_.in_stride;
    parallel_for(frame, windows_.outer() * places, kGrain / (work + 1) + 1, [&](int64_t begin, int64_t end) {
      std::vector<C> rows(scratch, Op::kNeutral);  // its margins stay so
      while (begin < end) {
        const int64_t array = begin / places, place = begin % places;
        const int64_t count = std::min(end - begin, places - place);
        const Stored* from = x + array * first.n * first.in_stride;
        Stored* to = y + array * first.count * first.out_stride;
        if (whole_rows) {
          last(from, to, windows_[windows_.last]);
        } else {
          combine_all(windows_.first, place, place + count, from, to, rows.data());
        }
        begin += count;
      }
    });
  }

 private:
  // All results of the dimensions from `d` on.
  template <typename In>
  void from(int64_t d, const In* x, Stored* y, C* scratch) const {
    if (d == windows_.last) return last(x, y, windows_[windows_.last]);
    const Window& window = windows_[d];
    if (!window.plain) return combine_all(d, 0, window.count, x, y, scratch);
    for (int64_t place = 0; place < window.count; ++place) {
      from(d + 1, x + place * window.in_stride, y + place * window.out_stride, scratch);
    }
  }

  // The results of some places along dimension `d`. Those along the last two dimensions are made in two steps
  // for several places: a row that has just been written cannot be read at once from other bounds.
  template <typename In>
  void combine_all(int64_t d, int64_t begin, int64_t end, const In* x, Stored* y, C* scratch) const {
    if (!margins_ || d + 1 != windows_.last) {
      for (int64_t place = begin; place < end; ++place) combine(d, place, x, y, scratch);
      return;
    }
    const Window &window = windows_[d], &across = windows_[d + 1];
    const int64_t margin = across.low * across.in_stride, length = wide_.n * wide_.in_stride;
    const In* found[kMostTaps];
    for (; begin < end; begin += kTogether) {
      const int64_t together = std::min(kTogether, end - begin);
      bool clean = true;
      int64_t alike;
      for (int64_t k = 0; k < together; k += alike) {
        alike = window.alike(begin + k, begin + together);
        C* to = scratch + k * length + margin;
        const Rows rows{window.taps(begin + k, x, found), window.in_stride, alike,
                        window.stride * window.in_stride, length};
        if (rows.taps > 0) {
          clean &= fold<Op, 1>(to, found, rows, between_);
        } else {
          std::fill_n(to, window.in_stride, Op::kNeutral);
        }
      }
      last(static_cast<const C*>(scratch), y + begin * window.out_stride, wide_, clean,
           {0, 0, together, length, window.out_stride});
    }
  }

  // The results of one place along dimension `d`.
  template <typename In>
  void combine(int64_t d, int64_t place, const In* x, Stored* y, C* scratch) const {
    const Window& window = windows_[d];
    const In* rows[kMostTaps];
    const int64_t count = window.taps(place, x, rows);
    y += place * window.out_stride;
    if (count == 0) return nothing(y, window.out_stride);
    C* further = scratch + window.in_stride;  // each dimension has its own, or margins would not last
    if (count == 1) return from(d + 1, rows[0], y, further);
    fold<Op, 1>(scratch, rows, Rows{count, window.in_stride}, between_);
    from(d + 1, static_cast<const C*>(scratch), y, further);
  }

  // All results of the last dimension, for each of some rows.
  template <typename In>
  void last(const In* x, Stored* y, const Window& window, bool clean = false, Rows rows = {0, 0}) const {
    const int64_t inner = window.in_stride;
    const In* found[kMostTaps];
    if (window.inside < window.outside) {
      rows.taps = window.taps(window.inside, x, found);
      inside(found, y + window.inside * inner, window, clean, rows);
    }
    rows.n = inner;
    for (int64_t place = 0; place < window.count; ++place) {
      if (place == window.inside && place < window.outside) place = window.outside;
      if (place >= window.count) break;
      rows.taps = window.taps(place, x, found);
      single(found, rows, y + place * inner, clean);
    }
  }

  // Those of the places that have all their elements.
  template <typename In>
  void inside(const In** found, Stored* y, const Window& window, bool clean, Rows rows) const {
    const int64_t inner = window.in_stride, places = window.outside - window.inside;
    rows.n = places * inner;
    if (window.stride == 1) {
      fold<Op, 1>(y, found, rows, finish_, clean);
    } else if (window.stride == 2 && inner == 1) {
      fold<Op, 2>(y, found, rows, finish_, clean);
    } else {  // one after the other
      for (int64_t row = 0; row < rows.count; ++row, y += rows.to) {
        fold<Op, 1>(y, found, Rows{rows.taps, inner, places, window.stride * inner, inner}, finish_, clean);
        for (int64_t k = 0; k < rows.taps; ++k) found[k] += rows.from;
      }
    }
  }

  // The results of one place along the last dimension.
  template <typename In>
  void single(const In* const* found, const Rows& rows, Stored* y, bool clean) const {
    if (rows.taps > 0 && rows.n > 1) {
      fold<Op, 1>(y, found, rows, finish_, clean);
      return;
    }
    for (int64_t row = 0; row < rows.count; ++row, y += rows.to) {
      if (rows.taps == 0) {
        nothing(y, rows.n);
      } else {
        C x = fold_single<Op>(found, row * rows.from, rows.taps);
        Op::finish(x, finish_);
        store(y, x);
      }
    }
  }

  void nothing(Stored* y, int64_t n) const {
    C x = Op::kNeutral;
    Op::finish(x, finish_);
    for (int64_t i = 0; i < n; ++i) store(y + i, x);
  }

  const Windows& windows_;
  const volatile C opaque_ = 0;                // or the compiler would drop the operation that flushes
  const Finish<C> between_{opaque_}, finish_;  // of what is combined further, and of results
  bool margins_;
  Window wide_;  // along the last dimension, on a row with margins
};

// The number that sums are multiplied by: a second operand, or 1.
template <typename C>
C factor_of(const Call& call) {
  if (call.operands() == 1) return 1;
  if (size_of(call.operand(1)) != 1)
    throw KernelError("windows were to be multiplied by more than one number");
  return *data<C>(call.operand(1));
}

template <typename Op, typename Stored>
void pool(const Call& call, const Windows& windows) {
  const Pool<Op, Stored> made(windows, factor_of<typename Op::C>(call));
  made.run(call.frame(), static_cast<const Stored*>(call.operand(0).data),
           static_cast<Stored*>(call.result(0).data));
}

template <template <typename> class Op, bool kScaled = false>
void reduce(const Call& call) {
  call.expect(kScaled && call.operands() == 2 ? 2 : 1, 1);
  const ffi::Buffer &x = call.operand(0), &y = call.result(0);
  const Windows windows(call, x, y);
  if (x.type != y.type) throw KernelError("a reduction of windows was called for another element type");
  if (size_of(y) == 0) return;
  switch (x.type) {
    case ffi::DataType::kF32:
      return pool<Op<float>, float>(call, windows);
    case ffi::DataType::kF64:
      return pool<Op<double>, double>(call, windows);
    case ffi::DataType::kBF16:
      return pool<Op<float>, Bfloat16>(call, windows);
    default:
      throw KernelError("a reduction of windows was called with an unexpected element type");
  }
}

template <typename T>
using MaximumOf = ExtremumOf<T, true>;
template <typename T>
using MinimumOf = ExtremumOf<T, false>;

}  // namespace

extern const Kernel kPoolKernels[] = {kernel<reduce<MaximumOf>>("anima_reduce_window_max"),
                                      kernel<reduce<MinimumOf>>("anima_reduce_window_min"),
                                      kernel<reduce<SumOf, true>>("anima_reduce_window_add"),
                                      {nullptr, nullptr}};

}  // namespace anima::kernels
