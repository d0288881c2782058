// Convolutions in which each feature has a filter of its own, and the derivatives by these filters.
//
// Features lie together, so all is done to vectors of them: a result is a sum over the places of the window,
// and a filter's element one over the places of the image.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/clones.h"
#include "kernels/convolution.h"
#include "kernels/parallel.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;  // products that are worth a thread
constexpr int64_t kPlaces = 4;       // that are computed together: they share what is read of the filters

template <typename T, int kBytes>
struct Lanes {
  typedef T V __attribute__((vector_size(kBytes)));
  static constexpr int kSize = kBytes / sizeof(T);
};

// --- results ---

// Sums over taps of `x[tap * places + i][c] * filters[tap][c]`, for places i.
template <typename T>
struct Results {
  const T* const* x;
  const T* const* filters;
  T* const* out;
  int64_t taps, features;
};

// For features from `c` on, as long as vectors are full; the next feature.
template <typename T, int kBytes, int kVectors>
ANIMA_INLINE int64_t sum_taps(const Results<T>& r, int64_t c) {
  using V = typename Lanes<T, kBytes>::V;
  constexpr int64_t kSize = Lanes<T, kBytes>::kSize;
  for (; c + kVectors * kSize <= r.features; c += kVectors * kSize) {
    V sums[kPlaces][kVectors] = {};
    for (int64_t k = 0; k < r.taps; ++k) {
      V factors[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) std::memcpy(&factors[v], r.filters[k] + c + v * kSize, sizeof(V));
#pragma GCC unroll 4
      for (int i = 0; i < kPlaces; ++i) {
        const T* x = r.x[k * kPlaces + i] + c;
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          V element;
          std::memcpy(&element, x + v * kSize, sizeof(V));
          sums[i][v] += element * factors[v];
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kPlaces; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) std::memcpy(r.out[i] + c + v * kSize, &sums[i][v], sizeof(V));
    }
  }
  return c;
}

template <typename T>
ANIMA_INLINE void sum_single(const Results<T>& r, int64_t c) {
  for (; c < r.features; ++c) {
    for (int64_t i = 0; i < kPlaces; ++i) {
      T sum = 0;
      for (int64_t k = 0; k < r.taps; ++k) sum += r.x[k * kPlaces + i][c] * r.filters[k][c];
      r.out[i][c] = sum;
    }
  }
}

template <typename T>
ANIMA_CLONES void results_narrow(const Results<T>& r) {
  sum_single(r, sum_taps<T, 16, 1>(r, sum_taps<T, 32, 1>(r, sum_taps<T, 32, 2>(r, 0))));
}
#ifdef ANIMA_HAS_WIDE
template <typename T>
ANIMA_WIDE void results_wide(const Results<T>& r) {
  int64_t c = sum_taps<T, 64, 1>(r, sum_taps<T, 64, 2>(r, 0));
  sum_single(r, sum_taps<T, 16, 1>(r, sum_taps<T, 32, 1>(r, c)));
}
#endif

template <typename T>
void results(const Results<T>& r) {
#ifdef ANIMA_HAS_WIDE
  if (has_wide()) return results_wide(r);
#endif
  results_narrow(r);
}

// What both kernels know of a call: images of features, and where windows lie on them.
struct Images {
  int64_t batch, features;
  Along along[2];
};

// The two dimensions of the window, and of the result.
Images images_of(const Call& call, const ffi::Buffer& window, int first, const ffi::Buffer& places,
                 int second) {
  const ffi::Buffer& x = call.operand(0);
  Images images{dimension(x, 0), dimension(x, 3), {}};
  for (int d = 0; d < 2; ++d) {
    images.along[d] =
        read_along(call, d, dimension(x, d + 1), dimension(window, first + d), dimension(places, second + d));
  }
  expect_shape(x, images.batch, images.along[0].n, images.along[1].n, images.features);
  return images;
}

template <typename T>
class Depthwise {
 public:
  explicit Depthwise(const Call& call)
      : images_(images_of(call, call.operand(1), 0, call.result(0), 1)),
        x_(data<T>(call.operand(0))),
        w_(data<T>(call.operand(1))),
        y_(data<T>(call.result(0))),
        zeros_(images_.features) {
    expect_shape(call.operand(1), down_.size, across_.size, 1, images_.features);
    expect_shape(call.result(0), images_.batch, down_.places, across_.places, images_.features);
  }

  void run(ffi::CallFrame& frame) const {
    if (images_.features == 0) return;
    const auto rows = phases_of(down_), columns = phases_of(across_);
    const int64_t work = across_.places * images_.features * down_.size * across_.size;
    parallel_for(frame, images_.batch * down_.places, kGrain / (work + 1) + 1,
                 [&](int64_t begin, int64_t end) {
                   std::vector<const T*> found, filters;
                   for (int64_t i = begin; i < end; ++i) {
                     for (const Phase& column : columns) {
                       const Phase& row = rows[i % down_.places % rows.size()];
                       compute(i / down_.places, i % down_.places, row, column, found, filters);
                     }
                   }
                 });
  }

 private:
  // A row of results, as far as it belongs to a phase.
  void compute(int64_t image, int64_t place, const Phase& row, const Phase& column,
               std::vector<const T*>& found, std::vector<const T*>& filters) const {
    const int64_t features = images_.features;
    T* out = y_ + (image * down_.places + place) * across_.places * features;
    const T* from = x_ + image * down_.n * across_.n * features;
    for (int64_t first = 0; first < column.count; first += kPlaces) {
      // The last places are computed again rather than fewer at a time.
      const int64_t start = std::min(first, std::max<int64_t>(column.count - kPlaces, 0));
      T* to[kPlaces];
      for (int64_t i = 0; i < kPlaces; ++i) {
        to[i] = out + (column.first + std::min(start + i, column.count - 1) * column.period) * features;
      }
      found.clear(), filters.clear();
      for (const auto& k : row.taps) {
        const int64_t x_row = place / row.period * row.x_step + k.offset;
        if (x_row < 0 || x_row >= down_.n) continue;
        for (const auto& l : column.taps) {
          bool any = false;
          for (int64_t i = 0; i < kPlaces; ++i) {
            const int64_t at = std::min(start + i, column.count - 1) * column.x_step + l.offset;
            const bool inside = at >= 0 && at < across_.n;
            found.push_back(inside ? from + (x_row * across_.n + at) * features : zeros_.data());
            any |= inside;
          }
          if (any) {
            filters.push_back(w_ + (k.place * across_.size + l.place) * features);
          } else {
            found.resize(found.size() - kPlaces);
          }
        }
      }
      results<T>({found.data(), filters.data(), to, static_cast<int64_t>(filters.size()), features});
    }
  }

  const Images images_;
  const Along &down_ = images_.along[0], &across_ = images_.along[1];
  const T* const x_;
  const T* const w_;
  T* const y_;
  const std::vector<T> zeros_;
};

// --- derivatives by filters ---

constexpr int kTaps = 4;  // that are summed up together, at most

// Adds to `sums[tap * features + c]` the products of `x[q * x_step + tap * tap_step + c]` and
// `w[q * features + c]`.
template <typename T>
struct Sums {
  T* sums;
  const T* x;
  const T* w;
  int64_t count, x_step, tap_step, features;
};

template <typename T, int kBytes, int kVectors, int kCount>
ANIMA_INLINE int64_t add_products(const Sums<T>& s, int64_t c) {
  using V = typename Lanes<T, kBytes>::V;
  constexpr int64_t kSize = Lanes<T, kBytes>::kSize;
  for (; c + kVectors * kSize <= s.features; c += kVectors * kSize) {
    V sums[kCount][kVectors];
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        std::memcpy(&sums[k][v], s.sums + k * s.features + c + v * kSize, sizeof(V));
    }
    const T *x = s.x + c, *w = s.w + c;
    for (int64_t q = 0; q < s.count; ++q, x += s.x_step, w += s.features) {
      V factors[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) std::memcpy(&factors[v], w + v * kSize, sizeof(V));
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          V element;
          std::memcpy(&element, x + k * s.tap_step + v * kSize, sizeof(V));
          sums[k][v] += element * factors[v];
        }
      }
    }
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        std::memcpy(s.sums + k * s.features + c + v * kSize, &sums[k][v], sizeof(V));
    }
  }
  return c;
}

template <typename T, int kCount>
ANIMA_INLINE void add_single(const Sums<T>& s, int64_t c) {
  for (; c < s.features; ++c) {
    for (int k = 0; k < kCount; ++k) {
      T sum = s.sums[k * s.features + c];
      for (int64_t q = 0; q < s.count; ++q) {
        sum += s.x[q * s.x_step + k * s.tap_step + c] * s.w[q * s.features + c];
      }
      s.sums[k * s.features + c] = sum;
    }
  }
}

template <typename T, int kCount>
ANIMA_CLONES void sums_narrow(const Sums<T>& s) {
  int64_t c = add_products<T, 32, 1, kCount>(s, add_products<T, 32, 2, kCount>(s, 0));
  add_single<T, kCount>(s, add_products<T, 16, 1, kCount>(s, c));
}
#ifdef ANIMA_HAS_WIDE
template <typename T, int kCount>
ANIMA_WIDE void sums_wide(const Sums<T>& s) {
  int64_t c = add_products<T, 64, 1, kCount>(s, add_products<T, 64, 2, kCount>(s, 0));
  add_single<T, kCount>(s, add_products<T, 16, 1, kCount>(s, add_products<T, 32, 1, kCount>(s, c)));
}
#endif

template <typename T, int kCount>
void sums(const Sums<T>& s) {
#ifdef ANIMA_HAS_WIDE
  if (has_wide()) return sums_wide<T, kCount>(s);
#endif
  sums_narrow<T, kCount>(s);
}

template <typename T>
void add_taps(const Sums<T>& s, int64_t taps) {
  if (s.count <= 0) return;
  switch (taps) {
    case 1:
      return sums<T, 1>(s);
    case 2:
      return sums<T, 2>(s);
    case 3:
      return sums<T, 3>(s);
    default:
      return sums<T, 4>(s);
  }
}

template <typename T>
class DepthwiseFilters {
 public:
  explicit DepthwiseFilters(const Call& call)
      : images_(images_of(call, call.operand(1), 1, call.result(0), 0)),
        x_(data<T>(call.operand(0))),
        w_(data<T>(call.operand(1))),
        y_(data<T>(call.result(0))) {
    if (down_.base != 1 || across_.base != 1)
      throw KernelError("a convolution was called with a dilated operand");
    expect_shape(call.operand(1), images_.batch, down_.size, across_.size, images_.features);
    expect_shape(call.result(0), down_.places, across_.places, 1, images_.features);
  }

  void run(ffi::CallFrame& frame) const {
    const int64_t rows = images_.batch * down_.size, size = down_.places * across_.places * images_.features;
    if (size == 0) return;
    const int64_t parts = std::max<int64_t>(std::min(rows, 2 * threads_of(frame)), 1);
    std::vector<T> sums(size * (parts - 1));
    std::fill(y_, y_ + size, T(0));
    parallel_for(frame, parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        T* own = i == 0 ? y_ : sums.data() + (i - 1) * size;
        for (int64_t row = rows * i / parts; row < rows * (i + 1) / parts; ++row) add_row(row, own);
      }
    });
    for (int64_t i = 0; i < parts - 1; ++i) {
      for (int64_t j = 0; j < size; ++j) y_[j] += sums[i * size + j];
    }
  }

 private:
  // Adds what a row of the window contributes to all elements of the filters.
  void add_row(int64_t row, T* to) const {
    const int64_t features = images_.features, image = row / down_.size, at = row % down_.size;
    const T* w = w_ + row * across_.size * features;
    for (int64_t k = 0; k < down_.places; ++k) {
      const int64_t x_row = k * down_.stride + at * down_.step - down_.low;
      if (x_row < 0 || x_row >= down_.n) continue;
      const T* x = x_ + (image * down_.n + x_row) * across_.n * features;
      for (int64_t l = 0; l < across_.places; l += kTaps) {
        add_group(x, w, l, std::min<int64_t>(kTaps, across_.places - l),
                  to + (k * across_.places + l) * features);
      }
    }
  }

  // Pixels that all places meet are added up together, the others by themselves.
  void add_group(const T* x, const T* w, int64_t first, int64_t count, T* to) const {
    int64_t begins[kTaps], ends[kTaps], begin = 0, end = across_.size;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t start = (first + k) * across_.stride - across_.low, room = across_.n - 1 - start;
      begins[k] = start < 0 ? std::min((-start + across_.step - 1) / across_.step, across_.size) : 0;
      ends[k] = room < 0 ? 0 : std::min(room / across_.step + 1, across_.size);
      begin = std::max(begin, begins[k]), end = std::min(end, ends[k]);
    }
    if (begin >= end) begin = end = across_.size;
    const auto add = [&](int64_t k, int64_t taps, int64_t from, int64_t until) {
      const int64_t features = images_.features;
      const int64_t pixel = (first + k) * across_.stride - across_.low + from * across_.step;
      if (from < until) {
        add_taps<T>({to + k * features, x + pixel * features, w + from * features, until - from,
                     across_.step * features, across_.stride * features, features},
                    taps);
      }
    };
    for (int64_t k = 0; k < count; ++k) add(k, 1, begins[k], std::min(begin, ends[k]));
    add(0, count, begin, end);
    for (int64_t k = 0; k < count; ++k) add(k, 1, std::max(end, begins[k]), ends[k]);
  }

  const Images images_;
  const Along &down_ = images_.along[0], &across_ = images_.along[1];
  const T* const x_;
  const T* const w_;
  T* const y_;
};

// Operands: [batch, rows, columns, features] and filters [rows, columns, 1, features]. Result: [batch, rows,
// columns, features].
constexpr auto depthwise = &run_kind<Depthwise>;

// Operands: [batch, rows, columns, features] and the window [batch, rows, columns, features]. Result: [rows,
// columns, 1, features].
constexpr auto depthwise_filters = &run_kind<DepthwiseFilters>;

}  // namespace

extern const Kernel kDepthwiseKernels[] = {kernel<depthwise>("anima_depthwise"),
                                           kernel<depthwise_filters>("anima_depthwise_filters"),
                                           {nullptr, nullptr}};

}  // namespace anima::kernels
