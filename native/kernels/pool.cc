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

// Equal zeros of different signs count as 0 and -0 do: 0 is greater. A NaN beats all.
template <typename T, bool kMost>
struct ExtremumOf {
  using C = T;
  using V = typename VectorOf<T>::V;
  using Single = Extremum<T, kMost>;
  static constexpr T kNeutral =
      kMost ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();

  static ANIMA_INLINE void combine(V& a, const V& b) {
    // Each choice is one instruction; they differ where the two numbers are equal, or one is a NaN.
    const V second = kMost ? (a > b ? a : b) : (a < b ? a : b);
    const V first = kMost ? (b > a ? b : a) : (b < a ? b : a);
    const typename VectorOf<T>::Mask unordered = (a != a) | (b != b);
    typename VectorOf<T>::Mask x, y;
    std::memcpy(&x, &first, sizeof x);
    std::memcpy(&y, &second, sizeof y);
    x = (kMost ? x & y : x | y) | unordered;
    std::memcpy(&a, &x, sizeof x);
  }
  // Under flags that take subnormal numbers for 0, they become it here.
  static ANIMA_INLINE void finish(V& x, T zero) { x = x - zero; }
};

template <typename T>
struct SumOf {
  using C = T;
  using V = typename VectorOf<T>::V;
  struct Single {
    T total = 0;
    ANIMA_INLINE void add(T x) { total += x; }
    ANIMA_INLINE T value() const { return total; }
  };
  static constexpr T kNeutral = 0;
  static ANIMA_INLINE void combine(V& a, const V& b) { a = a + b; }
  static ANIMA_INLINE void finish(V& x, T zero) { x = x + zero; }  // no sum is -0
};

// The combination of p[k][at] over `count` pointers.
template <typename Op, typename In, typename Out>
ANIMA_INLINE void fold_single(Out* out, const In* const* p, int64_t at, int64_t count) {
  typename Op::Single total;
  for (int64_t k = 0; k < count; ++k) {
    typename Op::C x;
    load(&x, p[k] + at);
    total.add(x);
  }
  store(out, total.value());
}

// out[i] = the combination of p[k][i * kStride] over `kCount` (0: `count`) pointers, for the next elements.
template <typename Op, int kStride, int kCount, int kVectors, typename In, typename Out>
ANIMA_INLINE void fold_vectors(Out* out, const In* const* p, int64_t count, int64_t i, typename Op::C zero) {
  using Of = VectorOf<typename Op::C>;
  constexpr int64_t kStep = Of::kSize * kStride;
  const int64_t from = i * kStride;
  typename Of::V a, b, next;
  load<kStride>(a, p[0] + from);
  if (kVectors == 2) load<kStride>(b, p[0] + from + kStep);
  for (int64_t k = 1; k < (kCount != 0 ? kCount : count); ++k) {
    load<kStride>(next, p[k] + from);
    Op::combine(a, next);
    if (kVectors == 2) {
      load<kStride>(next, p[k] + from + kStep);
      Op::combine(b, next);
    }
  }
  Op::finish(a, zero);
  store(out + i, a);
  if (kVectors == 2) {
    Op::finish(b, zero);
    store(out + i + Of::kSize, b);
  }
}

// The last vector overlaps the one before, since single elements would take longer than all the rest of a
// short row.
template <typename Op, int kStride, int kCount, typename In, typename Out>
ANIMA_CLONES void fold_counted(Out* out, const In* const* p, int64_t count, int64_t n, typename Op::C zero) {
  constexpr int64_t kSize = VectorOf<typename Op::C>::kSize;
  int64_t i = 0;
  for (; i + 2 * kSize <= n; i += 2 * kSize) fold_vectors<Op, kStride, kCount, 2>(out, p, count, i, zero);
  if (n >= kSize) {
    for (; i < n; i += kSize) {
      fold_vectors<Op, kStride, kCount, 1>(out, p, count, std::min(i, n - kSize), zero);
    }
    return;
  }
  for (; i < n; ++i) fold_single<Op>(out + i, p, i * kStride, count);
}

template <typename Op, int kStride, typename In, typename Out>
void fold(Out* out, const In* const* p, int64_t count, int64_t n, typename Op::C zero) {
  switch (count) {
    case 2:
      return fold_counted<Op, kStride, 2>(out, p, count, n, zero);
    case 3:
      return fold_counted<Op, kStride, 3>(out, p, count, n, zero);
    default:
      return fold_counted<Op, kStride, 0>(out, p, count, n, zero);
  }
}

template <typename Op, typename Stored>
class Pool {
  using C = typename Op::C;

 public:
  explicit Pool(const Windows& windows) : windows_(windows), wide_(windows[windows.last]) {
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
    if (margins_) scratch += wide_.n * wide_.in_stride;
    parallel_for(frame, windows_.outer() * places, kGrain / (work + 1) + 1, [&](int64_t begin, int64_t end) {
      std::vector<C> rows(scratch, Op::kNeutral);  // its margins stay so
      int64_t place = begin % places;
      const Stored* from = x + begin / places * first.n * first.in_stride;
      Stored* to = y + begin / places * first.count * first.out_stride;
      for (int64_t i = begin; i < end; ++i) {
        if (whole_rows) {
          last(from, to, windows_[windows_.last]);
        } else {
          combine(windows_.first, place, from, to, rows.data());
        }
        if (++place < places) continue;
        place = 0, from += first.n * first.in_stride, to += first.count * first.out_stride;
      }
    });
  }

 private:
  // All results of the dimensions from `d` on.
  template <typename In>
  void from(int64_t d, const In* x, Stored* y, C* scratch) const {
    if (d == windows_.last) return last(x, y, windows_[windows_.last]);
    const Window& window = windows_[d];
    for (int64_t place = 0; place < window.count; ++place) {
      if (window.plain) {
        from(d + 1, x + place * window.in_stride, y + place * window.out_stride, scratch);
      } else {
        combine(d, place, x, y, scratch);
      }
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
    if (margins_ && d + 1 == windows_.last) {
      fold<Op, 1>(scratch + windows_[d + 1].low * windows_[d + 1].in_stride, rows, count, window.in_stride,
                  zero_);
      return last(static_cast<const C*>(scratch), y, wide_);
    }
    C* further = scratch + window.in_stride;  // each dimension has its own, or margins would not last
    if (count == 1) return from(d + 1, rows[0], y, further);
    fold<Op, 1>(scratch, rows, count, window.in_stride, zero_);
    from(d + 1, static_cast<const C*>(scratch), y, further);
  }

  // All results of the last dimension.
  template <typename In>
  void last(const In* x, Stored* y, const Window& window) const {
    const int64_t inner = window.in_stride;
    const In* found[kMostTaps];
    // Places that have all their elements are folded together, where these lie so that vectors can be loaded.
    const bool together = window.stride == 1 || (window.stride == 2 && inner == 1);
    const int64_t inside = together ? window.inside : 0, outside = together ? window.outside : 0;
    if (inside < outside) {
      const In* from = x + (inside * window.stride - window.low) * inner;
      for (int64_t k = 0; k < window.size; ++k) found[k] = from + k * window.step * inner;
      const int64_t n = (outside - inside) * inner;
      if (window.stride == 1) {
        fold<Op, 1>(y + inside * inner, found, window.size, n, zero_);
      } else {
        fold<Op, 2>(y + inside * inner, found, window.size, n, zero_);
      }
    }
    for (int64_t place = 0; place < window.count; ++place) {
      if (place == inside && inside < outside) place = outside;
      if (place >= window.count) break;
      single(found, window.taps(place, x, found), inner, y + place * inner);
    }
  }

  // The result of one place along the last dimension.
  template <typename In>
  void single(const In* const* found, int64_t taps, int64_t inner, Stored* y) const {
    if (taps == 0) return nothing(y, inner);
    if (inner > 1) return fold<Op, 1>(y, found, taps, inner, zero_);
    fold_single<Op>(y, found, 0, taps);
  }

  static void nothing(Stored* y, int64_t n) {
    for (int64_t i = 0; i < n; ++i) store(y + i, Op::kNeutral);
  }

  const Windows& windows_;
  const volatile C opaque_ = 0;  // or the compiler would drop the operation that flushes
  const C zero_ = opaque_;
  bool margins_;
  Window wide_;  // along the last dimension, on a row with margins
};

template <template <typename> class Op>
void reduce(const Call& call) {
  call.expect(1, 1);
  const ffi::Buffer &x = call.operand(0), &y = call.result(0);
  const Windows windows(call, x, y);
  if (x.type != y.type) throw KernelError("a reduction of windows was called for another element type");
  if (size_of(y) == 0) return;
  switch (x.type) {
    case ffi::DataType::kF32:
      return Pool<Op<float>, float>(windows).run(call.frame(), static_cast<const float*>(x.data),
                                                 static_cast<float*>(y.data));
    case ffi::DataType::kF64:
      return Pool<Op<double>, double>(windows).run(call.frame(), static_cast<const double*>(x.data),
                                                   static_cast<double*>(y.data));
    case ffi::DataType::kBF16:
      return Pool<Op<float>, Bfloat16>(windows).run(call.frame(), static_cast<const Bfloat16*>(x.data),
                                                    static_cast<Bfloat16*>(y.data));
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
                                      kernel<reduce<SumOf>>("anima_reduce_window_add"),
                                      {nullptr, nullptr}};

}  // namespace anima::kernels
