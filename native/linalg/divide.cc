// Cuppen's method (1981), with the vectors of Gu and Eisenstat (1994).
//
// A tridiagonal matrix is one of two blocks plus a multiple of a vector's product with itself. With the
// eigenvectors of the blocks known, what is left is a diagonal matrix plus such a product: where an element
// of the vector vanishes, or two diagonal elements are equal, the eigenvector is one of before ("deflation"),
// and the other eigenvalues are roots of the secular equation. The vector is then computed anew from the
// roots, for which these are exact, so that the eigenvectors are orthogonal. Blocks of a level, and in them
// ranges of roots, are worked on by several threads.
#include "linalg/divide.h"

#include <atomic>
#include <memory>
#include <numeric>
#include <vector>

#include "linalg/packed.h"
#include "linalg/secular.h"
#include "linalg/spectral.h"

namespace anima::linalg {
namespace {

template <typename T>
const Function<void(char*, int*, T*, T*, T*, int*, T*, int*)> steqr{routine<T>("steqr")};

constexpr int kSmallest = 12;   // blocks of so many rows or fewer are not divided
constexpr int64_t kGrain = 32;  // roots that are worth a thread

// Two blocks that become one: n rows, of which the upper block has `upper`.
template <typename T>
class Merge {
 public:
  // `rows` are the eigenvectors of the blocks, `stride` numbers apart; `to` is where those of both go.
  Merge(ffi::CallFrame& frame, int n, int upper, T* d, T* rows, T* to, int64_t stride)
      : frame_(frame), n_(n), upper_(upper), d_(d), rows_(rows), to_(to), stride_(stride), z_(n), kind_(n) {
    for (int i = 0; i < n; ++i) kind_[i] = i < upper ? kUpper : kLower;
  }

  // `beside` is the element between the blocks.
  void run(T beside) {
    const T root_of_half = std::sqrt(T(0.5));
    for (int i = 0; i < n_; ++i) {
      const T last = i < upper_ ? row(i)[upper_ - 1] : beside < 0 ? -row(i)[upper_] : row(i)[upper_];
      z_[i] = last * root_of_half;
    }
    deflate(2 * std::abs(beside));
    const int k = static_cast<int>(kept_.size());
    constexpr int kRoom = kernels::VectorOf<T>::kSize;
    poles_.assign(k + kRoom, std::numeric_limits<T>::max()), squares_.assign(k + kRoom, T(0));
    values_.resize(k), distances_.resize(static_cast<size_t>(k) * k);
    for (int j = 0; j < k; ++j) poles_[j] = d_[kept_[j]], squares_[j] = z_[kept_[j]] * z_[kept_[j]];
    if (k == 1) {
      values_[0] = poles_[0] + 2 * std::abs(beside) * squares_[0];
      distances_[0] = 1;
    } else if (k > 1) {
      find_roots(1 / (2 * std::abs(beside)));
    }
    place();
    multiply();
  }

 private:
  enum Kind : uint8_t { kUpper, kBoth, kLower };  // where a row has elements that are not zero

  T* row(int i) const { return rows_ + i * stride_; }
  T* result(int i) const { return to_ + i * stride_; }

  // Fills `kept_` and `deflated_`, indices of rows.
  void deflate(T rho) {
    std::vector<int> order(n_);
    std::iota(order.begin(), order.end(), 0);
    std::inplace_merge(order.begin(), order.begin() + upper_, order.end(),
                       [&](int i, int j) { return d_[i] < d_[j]; });
    T largest = 0, largest_z = 0;
    for (int i = 0; i < n_; ++i) {
      largest = std::max(largest, std::abs(d_[i]));
      largest_z = std::max(largest_z, std::abs(z_[i]));
    }
    const T tolerance = 4 * std::numeric_limits<T>::epsilon() * std::max(largest, largest_z);
    for (const int i : order) {
      if (!(rho * std::abs(z_[i]) > tolerance)) {
        deflated_.push_back(i);
      } else if (kept_.empty() || !rotate(kept_.back(), i, tolerance)) {
        kept_.push_back(i);
      } else {
        deflated_.push_back(kept_.back());
        kept_.back() = i;
      }
    }
    std::sort(deflated_.begin(), deflated_.end(), [&](int i, int j) { return d_[i] < d_[j]; });
  }

  // If `i` and `j` have diagonal elements that are nearly equal, turns them so that z[i] is zero.
  bool rotate(int i, int j, T tolerance) {
    const T length = std::hypot(z_[i], z_[j]), gap = d_[j] - d_[i];
    const T c = z_[j] / length, s = -z_[i] / length;
    if (!(std::abs(gap * c * s) <= tolerance)) return false;
    z_[j] = length, z_[i] = 0;
    if (kind_[i] != kind_[j]) fill(i), fill(j);
    T *x = row(i), *y = row(j);
    const int begin = kind_[i] == kLower ? upper_ : 0, end = kind_[i] == kUpper ? upper_ : n_;
    for (int k = begin; k < end; ++k) {
      const T a = x[k], b = y[k];
      x[k] = c * a + s * b;
      y[k] = c * b - s * a;
    }
    const T a = d_[i], b = d_[j];
    d_[i] = a * c * c + b * s * s;
    d_[j] = a * s * s + b * c * c;
    return true;
  }

  void fill(int i) {
    if (kind_[i] == kUpper) std::fill(row(i) + upper_, row(i) + n_, T(0));
    if (kind_[i] == kLower) std::fill(row(i), row(i) + upper_, T(0));
    kind_[i] = kBoth;
  }

  // `values_`, and the distances of the poles from each, in rows.
  void find_roots(T inverse_rho) {
    const int64_t k = static_cast<int64_t>(kept_.size());
    const Secular<T> secular = {poles_.data(), squares_.data(), k, inverse_rho};
    kernels::parallel_for(frame_, k, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const SecularRoot<T> root(secular, i);
        values_[i] = root.value();
        root.distances(distances_.data() + i * k);
      }
    });
    // The numbers z for which these roots are exact.
    std::vector<T> exact(k, T(1));
    kernels::parallel_for(frame_, k, 2 * kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < k; ++i) {
        const T* distance = distances_.data() + i * k;
        multiply_ratios(distance, poles_.data(), poles_[i], begin, std::min(i, end), exact.data());
        multiply_ratios(distance, poles_.data(), poles_[i], std::max(i + 1, begin), end, exact.data());
        if (begin <= i && i < end) exact[i] *= -distance[i];
      }
    });
    for (int64_t j = 0; j < k; ++j) exact[j] = std::copysign(std::sqrt(std::abs(exact[j])), z_[kept_[j]]);
    kernels::parallel_for(frame_, k, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) normalise(exact.data(), distances_.data() + i * k, k);
    });
  }

  ANIMA_CLONES static void multiply_ratios(const T* distance, const T* poles, T pole, int64_t begin,
                                           int64_t end, T* products) {
    ANIMA_INDEPENDENT
    for (int64_t j = begin; j < end; ++j) products[j] *= distance[j] / (poles[j] - pole);
  }

  // An eigenvector of the secular equation from the distances of its root.
  ANIMA_CLONES static void normalise(const T* z, T* x, int64_t k) {
    ANIMA_INDEPENDENT
    for (int64_t j = 0; j < k; ++j) x[j] = z[j] / x[j];
    constexpr int kSums = 16;
    T sums[kSums] = {};
    int64_t j = 0;
    for (; j + kSums <= k; j += kSums) {
      for (int l = 0; l < kSums; ++l) sums[l] += x[j + l] * x[j + l];
    }
    for (; j < k; ++j) sums[0] += x[j] * x[j];
    for (int l = 1; l < kSums; ++l) sums[0] += sums[l];
    const T scale = 1 / std::sqrt(sums[0]);
    ANIMA_INDEPENDENT
    for (int64_t l = 0; l < k; ++l) x[l] *= scale;
  }

  // Where each eigenvalue goes: `place_` of the roots. Deflated ones are copied.
  void place() {
    const size_t k = kept_.size();
    place_.resize(k);
    std::vector<T> all(n_);
    size_t i = 0, j = 0;
    for (int at = 0; at < n_; ++at) {
      if (j == deflated_.size() || (i < k && values_[i] <= d_[deflated_[j]])) {
        all[at] = values_[i];
        place_[i++] = at;
      } else {
        fill(deflated_[j]);
        all[at] = d_[deflated_[j]];
        std::copy(row(deflated_[j]), row(deflated_[j]) + n_, result(at));
        ++j;
      }
    }
    std::copy(all.begin(), all.end(), d_);
  }

  // The eigenvectors of the roots: products with rows of both blocks, of which each has zeros in one half.
  void multiply() {
    const int64_t k = static_cast<int64_t>(kept_.size());
    if (k == 0) return;
    std::vector<int> order;  // positions in `kept_`
    int64_t counts[3] = {};
    for (const Kind kind : {kUpper, kBoth, kLower}) {
      for (int j = 0; j < k; ++j) {
        if (kind_[kept_[j]] != kind) continue;
        order.push_back(j);
        ++counts[kind];
      }
    }
    const int64_t first = counts[kUpper] + counts[kBoth], second = counts[kUpper];
    const Packed<T> left(first, upper_, [&](int64_t j) { return row(kept_[order[j]]); });
    const Packed<T> right(k - second, n_ - upper_,
                          [&](int64_t j) { return row(kept_[order[second + j]]) + upper_; });
    kernels::parallel_for(frame_, k, kGrain, [&](int64_t begin, int64_t end) {
      std::vector<T> factors((end - begin) * k);
      for (int64_t i = begin; i < end; ++i) {
        T* to = factors.data() + (i - begin) * k;
        const T* from = distances_.data() + i * k;
        for (int64_t j = 0; j < k; ++j) to[j] = from[order[j]];
      }
      const auto from = [&](int64_t i) { return factors.data() + i * k; };
      left.multiply(end - begin, from, [&](int64_t i) { return result(place_[begin + i]); }, false);
      right.multiply(
          end - begin, [&](int64_t i) { return from(i) + second; },
          [&](int64_t i) { return result(place_[begin + i]) + upper_; }, false);
    });
  }

  ffi::CallFrame& frame_;
  const int n_, upper_;
  T* const d_;
  T *const rows_, *const to_;
  const int64_t stride_;
  std::vector<T> z_;
  std::vector<Kind> kind_;
  std::vector<int> kept_, deflated_, place_;
  std::vector<T> poles_, squares_, values_, distances_;
};

}  // namespace

template <typename T>
bool divide_and_conquer(ffi::CallFrame& frame, int n, T* d, T* e, T* vectors) {
  T largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max({largest, std::abs(d[i]), i + 1 < n ? std::abs(e[i]) : 0});
  const T scale = largest == 0 ? 1 : largest;
  for (int i = 0; i < n; ++i) d[i] /= scale;
  for (int i = 0; i + 1 < n; ++i) e[i] /= scale;

  int levels = 0;
  while (n >> levels > kSmallest) ++levels;
  const auto begin_of = [&](int64_t block, int level) { return static_cast<int>(block * n >> level); };
  for (int64_t block = 1; block < int64_t{1} << levels; ++block) {
    const int at = begin_of(block, levels);
    d[at - 1] -= std::abs(e[at - 1]);
    d[at] -= std::abs(e[at - 1]);
  }
  // Levels write to either memory in turn, the last one to `vectors`.
  const std::unique_ptr<T[]> other(new T[static_cast<size_t>(n) * n]);
  T *from = levels % 2 == 0 ? vectors : other.get(), *to = levels % 2 == 0 ? other.get() : vectors;
  std::atomic<bool> failed{false};
  kernels::parallel_for(frame, int64_t{1} << levels, 4, [&](int64_t begin, int64_t end) {
    T work[2 * kSmallest + 2];
    for (int64_t block = begin; block < end; ++block) {
      const int first = begin_of(block, levels), size = begin_of(block + 1, levels) - first;
      int info = 0;
      steqr<T>('I', size, d + first, e + first, from + first * (int64_t{n} + 1), n, work, &info);
      expect_accepted(info, "steqr");
      if (info != 0) failed = true;
    }
  });
  for (int level = levels - 1; level >= 0 && !failed; --level, std::swap(from, to)) {
    kernels::parallel_for(frame, int64_t{1} << level, 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int first = begin_of(block, level), size = begin_of(block + 1, level) - first;
        const int upper = begin_of(2 * block + 1, level + 1) - first;
        const int64_t place = first * (int64_t{n} + 1);
        Merge<T>(frame, size, upper, d + first, from + place, to + place, n).run(e[first + upper - 1]);
      }
    });
  }
  for (int i = 0; i < n; ++i) d[i] *= scale;
  return !failed;
}

template bool divide_and_conquer(ffi::CallFrame&, int, float*, float*, float*);
template bool divide_and_conquer(ffi::CallFrame&, int, double*, double*, double*);

}  // namespace anima::linalg
