// Discrete Fourier transforms of the last one to three dimensions, for lengths that are products of 2, 3, 5
// and 7.
//
// Short rows are transformed many at a time, a lane each; the elements of a long one are a matrix, of which
// first the columns are transformed and then the rows (`RowPlan`). Other dimensions are columns of memory.
// Real numbers, an even number of them, are taken as half as many complex ones.
#include <algorithm>
#include <memory>
#include <new>

#include "kernels/fft_lanes.h"
#include "kernels/fft_plan.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"

namespace anima::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;            // elements that are worth a thread
constexpr int64_t kShort = 256, kTall = 2048;  // elements of rows, of which a few or many are a lane each
constexpr int64_t kDivided = 1 << 15;          // elements of a row from which on threads share it
constexpr int64_t kMostDimensions = 3;

enum Kind { kForth = 0, kBack = 1, kRealForth = 2, kRealBack = 3 };

template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : data_(static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t(64)))) {}
  ~Scratch() { ::operator delete(data_, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }

 private:
  T* data_;
};

// Elements `step` numbers apart.
template <typename T>
struct Place {
  T* data;
  int64_t step;
  Lying lying;
};

template <typename T>
class Transform {
 public:
  Transform(const Call& call, Kind kind, int64_t n, T scale)
      : frame_(call.frame()), engine_(fft_engine<T>()), kind_(kind), n_(n), scale_(scale) {}

  // Columns of `n` elements with `inner` of them side by side.
  void columns(const T* from, T* to, int64_t outer, int64_t inner) const {
    const auto plan = lane_plan<T>(n_, back());
    const int64_t lanes = engine_.lanes, groups = (inner + lanes - 1) / lanes, step = 2 * inner;
    parallel_for(frame_, outer * groups, kGrain / (n_ * lanes) + 1, [&](int64_t begin, int64_t end) {
      Scratch<T> cells(n_ * cell()), more(n_ * cell());
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = 2 * (i / groups * n_ * inner + i % groups * lanes);
        const int64_t count = std::min(lanes, inner - i % groups * lanes);
        run_columns(*plan, from + at, to + at, step, count, cells.get(), more.get(), scale_);
      }
    });
  }

  // Rows: of complex numbers, or of real ones and half of their spectra. `spare` has room for `room` numbers.
  void rows(const T* from, T* to, int64_t rows, T* spare, int64_t room) const {
    const int64_t length = points();
    if (rows == 0) return;
    if (in_lanes(rows)) return short_rows(from, to, rows);
    const auto plan = row_plan<T>(length, back());
    const int64_t size = plan->groups * plan->columns->n * cell();
    if (length >= kDivided && rows < 4 * threads_of(frame_)) {
      std::unique_ptr<Scratch<T>> own;
      if (room < size) own = std::make_unique<Scratch<T>>(size);
      T* cells = own ? own->get() : spare;
      for (int64_t i = 0; i < rows; ++i) {
        long_row(*plan, from + i * from_step(), to + i * to_step(), cells,
                 [&](int64_t n, int64_t grain, auto body) { parallel_for(frame_, n, grain, body); });
      }
      return;
    }
    parallel_for(frame_, rows, kGrain / length + 1, [&](int64_t begin, int64_t end) {
      Scratch<T> cells(size);
      for (int64_t i = begin; i < end; ++i) {
        long_row(*plan, from + i * from_step(), to + i * to_step(), cells.get(),
                 [&](int64_t n, int64_t, auto body) { body(0, n); });
      }
    });
  }

 private:
  bool back() const { return kind_ == kBack || kind_ == kRealBack; }
  int64_t cell() const { return 2 * engine_.lanes; }
  // Complex numbers that a row is transformed as.
  int64_t points() const { return kind_ == kForth || kind_ == kBack ? n_ : n_ / 2; }
  // Whether each row is a lane: many of them, or too short a one to be a matrix.
  bool in_lanes(int64_t rows) const {
    const int64_t length = points(), lanes = engine_.lanes;
    if (length < lanes * lanes) return true;
    return length <= kTall && rows >= (length <= kShort ? lanes / 2 : 2 * lanes);
  }
  // Numbers between rows.
  int64_t from_step() const { return 2 * (points() + (kind_ == kRealBack ? 1 : 0)); }
  int64_t to_step() const { return 2 * (points() + (kind_ == kRealForth ? 1 : 0)); }

  // `from` and `to` may be the same, but not `cells`, which is written over.
  void run(const LanePlan<T>& plan, Place<const T> from, T* cells, Place<T> to, T scale) const {
    FftPass<T> pass = {from.data, cells, from.step, cell(), 1, plan.n, nullptr, nullptr, scale};
    Lying lying = from.lying;
    const size_t last = plan.radices.size() - 1;
    for (size_t i = 0; i < last; ++i) {
      const int radix = plan.radices[i];
      pass.factors = plan.factors[i].data();
      engine_.spread[static_cast<int>(lying)][radix](pass);
      pass.from = cells, pass.from_step = cell(), lying = Lying::kCells;
      pass.blocks *= radix, pass.length /= radix;
    }
    pass.to = to.data, pass.to_step = to.step, pass.order = plan.order.data();
    engine_.gather[static_cast<int>(to.lying)][plan.radices[last]](pass);
  }

  // The next `count` columns of memory, through two rows of cells.
  void run_columns(const LanePlan<T>& plan, const T* from, T* to, int64_t step, int64_t count, T* cells,
                   T* more, T scale) const {
    const bool whole = count == engine_.lanes, passes = plan.radices.size() > 1;
    Place<const T> source{from, step, Lying::kRows};
    if (!whole || !passes) {
      engine_.columns_in({const_cast<T*>(from), step, count, plan.n, cells});
      source = {cells, cell(), Lying::kCells};
    }
    if (whole) return run(plan, source, cells, {to, step, Lying::kRows}, scale);
    run(plan, source, cells, {more, cell(), Lying::kCells}, scale);
    engine_.columns_out({to, step, count, plan.n, more});
  }

  void short_rows(const T* from, T* to, int64_t rows) const {
    const int64_t length = points(), lanes = engine_.lanes;
    const auto plan = lane_plan<T>(length, back());
    const bool real = kind_ == kRealForth || kind_ == kRealBack;
    const auto halves = real ? halves_plan<T>(length) : nullptr;
    const int64_t from_size = from_step() / 2, to_size = to_step() / 2;
    parallel_for(frame_, (rows + lanes - 1) / lanes, kGrain / (length * lanes) + 1,
                 [&](int64_t begin, int64_t end) {
                   Scratch<T> cells((length + 1) * cell()), more((length + 1) * cell());
                   T *a = cells.get(), *b = more.get();
                   for (int64_t row = begin * lanes; row < std::min(end * lanes, rows); row += lanes) {
                     const int64_t count = std::min(lanes, rows - row);
                     T* first = const_cast<T*>(from) + row * from_step();
                     engine_.rows_in({first, from_step(), count, from_size, a});
                     if (kind_ == kRealBack) engine_.halves_of_spectrum({a, length, halves->factors.data()});
                     run(*plan, {a, cell(), Lying::kCells}, a, {b, cell(), Lying::kCells}, scale_);
                     if (kind_ == kRealForth) engine_.spectrum_of_halves({b, length, halves->factors.data()});
                     engine_.rows_out({to + row * to_step(), to_step(), count, to_size, b});
                   }
                 });
  }

  // `loop(n, grain, body)` calls body for pieces of [0, n).
  template <typename Loop>
  void long_row(const RowPlan<T>& plan, const T* from, T* to, T* cells, const Loop& loop) const {
    const int64_t length = points();
    if (kind_ == kRealBack) {
      const auto halves = row_halves_plan<T>(length);
      engine_.row_halves_of_spectrum({from, to, length, halves->by_lane.data(), halves->by_group.data()});
      from = to;
    }
    const int64_t lanes = engine_.lanes, height = plan.columns->n, width = plan.rows->n;
    const int64_t grain = kGrain / 2 / lanes;
    loop(plan.groups, grain / height + 1, [&](int64_t begin, int64_t end) {
      Scratch<T> work(height * cell());
      for (int64_t group = begin; group < end; ++group) {
        const int64_t count = std::min(lanes, width - group * lanes);
        const T* source = from + 2 * group * lanes;
        Place<const T> place{source, 2 * width, Lying::kRows};
        if (count < lanes || plan.columns->radices.size() == 1) {
          engine_.columns_in({const_cast<T*>(source), 2 * width, count, height, work.get()});
          place = {work.get(), cell(), Lying::kCells};
        }
        T* result = cells + group * height * cell();
        run(*plan.columns, place, work.get(), {result, cell(), Lying::kCells}, T(1));
      }
    });
    const int64_t column_groups = (height + lanes - 1) / lanes;
    loop(column_groups, grain / width + 1, [&](int64_t begin, int64_t end) {
      Scratch<T> work(width * cell()), more(width * cell());
      for (int64_t group = begin; group < end; ++group) {
        const int64_t first = group * lanes, count = std::min(lanes, height - first);
        engine_.turn({cells + first * cell(), height * cell(), count, width,
                      plan.by_lane.data() + first * cell(), plan.by_group.data() + 2 * first, 2 * height,
                      work.get()});
        T* result = to + 2 * first;
        Place<const T> place{work.get(), cell(), Lying::kCells};
        if (count == lanes) {
          run(*plan.rows, place, work.get(), {result, 2 * height, Lying::kRows}, scale_);
        } else {
          run(*plan.rows, place, work.get(), {more.get(), cell(), Lying::kCells}, scale_);
          engine_.columns_out({result, 2 * height, count, width, more.get()});
        }
      }
    });
    if (kind_ == kRealForth) {
      const auto halves = row_halves_plan<T>(length);
      engine_.row_spectrum_of_halves({to, to, length, halves->by_lane.data(), halves->by_group.data()});
    }
  }

  ffi::CallFrame& frame_;
  const FftEngine<T>& engine_;
  const Kind kind_;
  const int64_t n_;
  const T scale_;
};

// Of an array: the product of its sizes from dimension `begin` to `end`.
int64_t product(const ffi::Buffer& x, int64_t begin, int64_t end) {
  int64_t size = 1;
  for (int64_t d = begin; d < end; ++d) size *= x.dims[d];
  return size;
}

// Throws unless the shapes are those of a transform of this kind.
void check(const ffi::Buffer& x, const ffi::Buffer& y, Kind kind, int64_t rank) {
  if (rank < 1 || rank > kMostDimensions || x.rank < rank || y.rank != x.rank) {
    throw KernelError("a Fourier transform was called with a wrong number of dimensions");
  }
  const ffi::Buffer &whole = kind == kRealBack ? y : x, &other = kind == kRealBack ? x : y;
  const bool real = kind == kRealForth || kind == kRealBack;
  for (int64_t d = 0; d < x.rank; ++d) {
    const int64_t n = whole.dims[d];
    const bool halved = real && d == x.rank - 1;
    if (other.dims[d] != (halved ? n / 2 + 1 : n)) {
      throw KernelError("a Fourier transform was called with other shapes");
    }
    if (d >= x.rank - rank && (!has_fft_plan(n) || (halved && n % 2 != 0))) {
      throw KernelError("a Fourier transform was called for a length that it is not for");
    }
  }
}

template <typename T>
T* numbers(const ffi::Buffer& buffer, bool complex) {
  if (complex) return reinterpret_cast<T*>(data<std::complex<T>>(buffer));
  return data<T>(buffer);
}

template <typename T>
void transform(const Call& call, Kind kind, int64_t rank) {
  const ffi::Buffer &x = call.operand(0), &y = call.result(0), &spare = call.result(1);
  const T* from = numbers<T>(x, kind != kRealForth);
  T *to = numbers<T>(y, kind != kRealBack), *room = numbers<T>(spare, true);
  if (size_of(x) == 0 || size_of(y) == 0) return;
  const int64_t last = x.rank - 1, first = x.rank - rank;
  const ffi::Buffer& whole = kind == kRealBack ? y : x;
  const bool back = kind == kBack || kind == kRealBack;
  const double size = static_cast<double>(product(whole, first, x.rank));
  const T scale = static_cast<T>(kind == kRealBack ? 2 / size : kind == kBack ? 1 / size : 1);
  const int64_t rows = product(x, 0, last);
  const Transform<T> along_rows(call, kind, whole.dims[last], scale);
  const auto other_dimensions = [&](const T* from, T* to, const ffi::Buffer& spectrum) {
    for (int64_t d = last - 1; d >= first; --d) {
      const Transform<T> along(call, back ? kBack : kForth, spectrum.dims[d], T(1));
      along.columns(from, to, product(spectrum, 0, d), product(spectrum, d + 1, x.rank));
      from = to;
    }
  };
  if (kind != kRealBack || rank == 1) {
    along_rows.rows(from, to, rows, room, 2 * size_of(spare));
    return other_dimensions(to, to, y);
  }
  if (size_of(spare) != size_of(x)) throw KernelError("a Fourier transform was called with other shapes");
  other_dimensions(from, room, x);
  along_rows.rows(room, to, rows, nullptr, 0);
}

// Operand: an array. Results: its transform, divided by its size if it goes back, and memory to work in: as
// much as the operand takes, if real numbers of several dimensions go back; else any.
void fft(const Call& call) {
  call.expect(1, 2);
  const int64_t kind = call.integer("kind"), rank = call.integer("rank");
  if (kind < kForth || kind > kRealBack) throw KernelError("a Fourier transform was called of another kind");
  const ffi::Buffer& x = call.operand(0);
  check(x, call.result(0), static_cast<Kind>(kind), rank);
  if (x.type == ffi::DataType::kC64 || x.type == ffi::DataType::kF32) {
    return transform<float>(call, static_cast<Kind>(kind), rank);
  }
  transform<double>(call, static_cast<Kind>(kind), rank);
}

}  // namespace

extern const Kernel kFftKernels[] = {kernel<fft>("anima_fft"), {nullptr, nullptr}};

}  // namespace anima::kernels
