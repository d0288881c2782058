// Making plans, and keeping the latest.
#include "kernels/fft_plan.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "kernels/fft_lanes.h"

namespace anima::kernels {
namespace {

constexpr int64_t kLongest = int64_t{1} << 24;
constexpr size_t kKept = 32;                       // plans of a kind
constexpr int64_t kKeptLength = int64_t{1} << 22;  // of all of them, if there are several

// exp(-2 pi i k / n), or its conjugate.
template <typename T>
void add_root(std::vector<T>& to, int64_t k, int64_t n, bool conjugate = false) {
  int64_t quarters = k % n * 4;  // of a turn, in units of 1 / n
  const bool below = quarters < 2 * n;
  if (!below) quarters = 4 * n - quarters;
  const bool left = quarters > n;
  if (left) quarters = 2 * n - quarters;
  const bool steep = 2 * quarters > n;
  if (steep) quarters = n - quarters;
  constexpr double kQuarter = 1.57079632679489661923;
  const double angle = kQuarter * static_cast<double>(quarters) / static_cast<double>(n);
  double re = std::cos(angle), im = std::sin(angle);
  if (steep) std::swap(re, im);
  if (left) re = -re;
  if (below != conjugate) im = -im;
  to.push_back(static_cast<T>(re));
  to.push_back(static_cast<T>(im));
}

// Powers of two last: eights, with one or two fours or a two before them.
std::vector<int> radices_of(int64_t n) {
  std::vector<int> radices;
  for (const int radix : {7, 5, 3}) {
    for (; n % radix == 0; n /= radix) radices.push_back(radix);
  }
  int twos = 0;
  for (; n % 2 == 0; n /= 2) ++twos;
  for (; twos % 3 != 0 && twos != 1; twos -= 2) radices.push_back(4);
  if (twos == 1) radices.push_back(2);
  for (; twos >= 3; twos -= 3) radices.push_back(8);
  if (radices.empty()) radices.push_back(1);
  return radices;
}

// The latest plans of a kind by their length and direction.
template <typename Plan>
class Plans {
 public:
  template <typename Make>
  std::shared_ptr<const Plan> find(int64_t n, bool back, const Make& make) {
    if (auto found = latest(n, back)) return found;
    auto made = std::make_shared<const Plan>(make());
    std::lock_guard<std::mutex> lock(mutex_);
    kept_.insert(kept_.begin(), {n, back, made});
    length_ += n;
    while (kept_.size() > kKept || (kept_.size() > 1 && length_ > kKeptLength)) {
      length_ -= kept_.back().n;
      kept_.pop_back();
    }
    return made;
  }

 private:
  struct Entry {
    int64_t n;
    bool back;
    std::shared_ptr<const Plan> plan;
  };

  std::shared_ptr<const Plan> latest(int64_t n, bool back) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(kept_.begin(), kept_.end(),
                                    [&](const Entry& entry) { return entry.n == n && entry.back == back; });
    if (found == kept_.end()) return nullptr;
    std::rotate(kept_.begin(), found, found + 1);
    return kept_.front().plan;
  }

  std::mutex mutex_;
  std::vector<Entry> kept_;  // the latest first
  int64_t length_ = 0;
};

// Never destroyed: threads may still use them when the process ends.
template <typename Plan>
Plans<Plan>& plans() {
  static auto* kept = new Plans<Plan>();
  return *kept;
}

template <typename T>
LanePlan<T> make_lane_plan(int64_t n, bool back) {
  LanePlan<T> plan;
  plan.n = n;
  plan.radices = radices_of(n);
  int64_t length = n;
  for (size_t pass = 0; pass + 1 < plan.radices.size(); ++pass) {
    const int64_t radix = plan.radices[pass], step = length / radix;
    std::vector<T> factors;
    factors.reserve(2 * (radix - 1) * step);
    for (int64_t j = 0; j < step; ++j) {
      for (int64_t i = 1; i < radix; ++i) add_root(factors, i * j, length);
    }
    plan.factors.push_back(std::move(factors));
    length = step;
  }
  plan.order.assign(n, 0);
  int64_t weight = 1, block = n;  // of a result of the pass; the elements that share it
  for (const int radix : plan.radices) {
    block /= radix;
    for (int64_t place = 0; place < n; ++place) {
      plan.order[place] += static_cast<int32_t>(place / block % radix * weight);
    }
    weight *= radix;
  }
  // What goes back is what goes forwards, in reversed order.
  if (back) {
    for (int32_t& place : plan.order) place = static_cast<int32_t>((n - place) % n);
  }
  return plan;
}

// The length of columns: both sides should be whole vectors, and similar.
int64_t column_length(int64_t n, int64_t lanes) {
  int64_t best = 1;
  double least = HUGE_VAL;
  for (int64_t columns = 1; columns * columns <= n; ++columns) {
    if (n % columns != 0) continue;
    const double a = static_cast<double>(columns), b = static_cast<double>(n) / a;
    const double size = static_cast<double>(lanes);
    const double waste = std::ceil(a / size) * size / a + std::ceil(b / size) * size / b;
    const double cost = waste + 0.05 * std::log2(b / a);
    if (cost < least) best = columns, least = cost;
  }
  return best;
}

template <typename T>
RowPlan<T> make_row_plan(int64_t n, bool back) {
  const int64_t lanes = fft_engine<T>().lanes;
  const int64_t column = column_length(n, lanes), row = n / column;
  RowPlan<T> plan{lane_plan<T>(column, back), lane_plan<T>(row, back), (row + lanes - 1) / lanes, {}, {}};
  for (int64_t k = 0; k < column; ++k) {
    std::vector<T> roots;
    for (int64_t lane = 0; lane < lanes; ++lane) add_root(roots, k * lane, n, back);
    for (int64_t part = 0; part < 2; ++part) {
      for (int64_t lane = 0; lane < lanes; ++lane) plan.by_lane.push_back(roots[2 * lane + part]);
    }
  }
  for (int64_t group = 0; group < plan.groups; ++group) {
    for (int64_t k = 0; k < column; ++k) add_root(plan.by_group, k * group * lanes, n, back);
  }
  return plan;
}

template <typename T>
HalvesPlan<T> make_halves_plan(int64_t n) {
  HalvesPlan<T> plan;
  for (int64_t k = 0; 2 * k <= n; ++k) add_root(plan.factors, k, 2 * n);
  return plan;
}

template <typename T>
RowHalvesPlan<T> make_row_halves_plan(int64_t n) {
  const int64_t lanes = fft_engine<T>().lanes;
  RowHalvesPlan<T> plan;
  std::vector<T> roots;
  for (int64_t lane = 0; lane < lanes; ++lane) add_root(roots, 1 + lane, 2 * n);
  for (int64_t part = 0; part < 2; ++part) {
    for (int64_t lane = 0; lane < lanes; ++lane) plan.by_lane.push_back(roots[2 * lane + part]);
  }
  for (int64_t k = 0; 2 * k <= n; k += lanes) add_root(plan.by_group, k, 2 * n);
  return plan;
}

}  // namespace

bool has_fft_plan(int64_t n) {
  if (n < 1 || n > kLongest) return false;
  for (const int64_t prime : {2, 3, 5, 7}) {
    while (n % prime == 0) n /= prime;
  }
  return n == 1;
}

template <typename T>
std::shared_ptr<const LanePlan<T>> lane_plan(int64_t n, bool back) {
  return plans<LanePlan<T>>().find(n, back, [&] { return make_lane_plan<T>(n, back); });
}

template <typename T>
std::shared_ptr<const RowPlan<T>> row_plan(int64_t n, bool back) {
  return plans<RowPlan<T>>().find(n, back, [&] { return make_row_plan<T>(n, back); });
}

template <typename T>
std::shared_ptr<const HalvesPlan<T>> halves_plan(int64_t n) {
  return plans<HalvesPlan<T>>().find(n, false, [&] { return make_halves_plan<T>(n); });
}

template <typename T>
std::shared_ptr<const RowHalvesPlan<T>> row_halves_plan(int64_t n) {
  return plans<RowHalvesPlan<T>>().find(n, false, [&] { return make_row_halves_plan<T>(n); });
}

template std::shared_ptr<const LanePlan<float>> lane_plan(int64_t, bool);
template std::shared_ptr<const LanePlan<double>> lane_plan(int64_t, bool);
template std::shared_ptr<const RowPlan<float>> row_plan(int64_t, bool);
template std::shared_ptr<const RowPlan<double>> row_plan(int64_t, bool);
template std::shared_ptr<const HalvesPlan<float>> halves_plan(int64_t);
template std::shared_ptr<const HalvesPlan<double>> halves_plan(int64_t);
template std::shared_ptr<const RowHalvesPlan<float>> row_halves_plan(int64_t);
template std::shared_ptr<const RowHalvesPlan<double>> row_halves_plan(int64_t);

}  // namespace anima::kernels
