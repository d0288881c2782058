// Convolutions with a kernel about as large as the operand, in two spatial dimensions: derivatives by
// filters.
//
// They are small products whose rows are the operand's last dimension at one place of the result, whose
// columns are features, and which sum over the places of the window. All stays where it is: rows and columns
// lie together in memory.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/convolution.h"
#include "kernels/multiply.h"
#include "kernels/parallel.h"

namespace anima::kernels {
namespace {

constexpr int64_t kDepth = 256;  // terms that are added up in registers, about: so many pixels are near
constexpr int64_t kFewRows = 16;

template <typename T>
class Filters {
 public:
  Filters(const Call& call)
      : summed_(dimension(call.operand(0), 0)),
        pixel_(dimension(call.operand(0), 3)),
        rows_(pixel_),
        features_(dimension(call.result(0), 3)),
        x_(data<T>(call.operand(0))),
        w_(data<T>(call.operand(1))),
        y_(data<T>(call.result(0))) {
    const ffi::Buffer &x = call.operand(0), &w = call.operand(1), &y = call.result(0);
    for (int d = 0; d < 2; ++d) {
      along_[d] = read_along(call, d, dimension(x, d + 1), dimension(w, d + 1), dimension(y, d));
      if (along_[d].base != 1) throw KernelError("a convolution was called with a dilated operand");
    }
    expect_shape(x, summed_, along_[0].n, along_[1].n, pixel_);
    expect_shape(w, summed_, along_[0].size, along_[1].size, features_);
    expect_shape(y, along_[0].places, along_[1].places, pixel_, features_);
  }

  void run(ffi::CallFrame& frame) {
    if (along_[0].places * along_[1].places * pixel_ * features_ == 0) return;
    if (rows_ < kFewRows && along_[1].places > 1 && along_[1].stride == 1) join_pixels(frame);
    find_pieces();
    const auto& best = multipliers<T>();
    const int64_t wide = best.widest().columns, panels = (features_ + wide - 1) / wide;
    const int64_t height = best.for_columns(std::min(wide, features_)).rows;
    tiles_ = (rows_ + height - 1) / height;
    const int64_t tiles = along_[0].places * along_[1].places * tiles_;
    // Each part goes over all pixels, so they are few.
    const int64_t parts = std::min(tiles, (2 * threads_of(frame) + panels - 1) / panels);
    parallel_for(frame, panels * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t column = i / parts * wide, part = i % parts;
        multiply_tiles(tiles * part / parts, tiles * (part + 1) / parts, column,
                       std::min(wide, features_ - column));
      }
    });
  }

 private:
  // Pixels of the window that lie in a row.
  struct Piece {
    int64_t image, row, first, end;
  };

  // Filters of a few rows become one filter of many: the pixels that they meet lie together, once the operand
  // has its padding.
  void join_pixels(ffi::CallFrame& frame) {
    Along& across = along_[1];
    const int64_t line = std::max((across.size - 1) * across.step + across.places, across.low + across.n);
    if (line > 2 * across.n + 64) return;
    padded_ = padded_rows(frame, x_, summed_ * along_[0].n, across.n, -across.low, line - across.low, pixel_);
    x_ = padded_.get();
    rows_ = pixel_ * across.places;
    across.n = line;
    across.low = 0;
    across.places = 1;
  }

  // The pieces of the window, and where those begin that are added up at once.
  void find_pieces() {
    const int64_t length = along_[1].size, parts = (length + kDepth - 1) / kDepth;
    int64_t depth = kDepth;
    for (int64_t image = 0; image < summed_; ++image) {
      for (int64_t row = 0; row < along_[0].size; ++row) {
        for (int64_t i = 0; i < parts; ++i) {
          const int64_t first = length * i / parts, end = length * (i + 1) / parts;
          if (depth + end - first > kDepth) starts_.push_back(pieces_.size()), depth = 0;
          depth += end - first;
          pieces_.push_back({image, row, first, end});
        }
      }
    }
    starts_.push_back(pieces_.size());
  }

  void multiply_tiles(int64_t begin, int64_t end, int64_t column, int64_t width) const {
    const auto& kind = multipliers<T>().for_columns(width);
    const bool whole = width == kind.columns;
    std::vector<T> columns;
    std::vector<Segment<T>> segments;
    std::vector<const T*> firsts;  // their elements of the first row
    for (size_t i = 0; i + 1 < starts_.size() || i == 0; ++i) {
      const Piece* first = pieces_.data() + (pieces_.empty() ? 0 : starts_[i]);
      const Piece* last = pieces_.data() + (pieces_.empty() ? 0 : starts_[i + 1]);
      if (!whole) lay_out(first, last, column, width, kind.columns, columns);
      for (int64_t tile = begin; tile < end;) {
        const int64_t place = tile / tiles_, until = std::min(end, (place + 1) * tiles_);
        find_segments(first, last, place, whole ? nullptr : columns.data(), column, kind.columns, segments,
                      firsts);
        for (; tile < until; ++tile) {
          const int64_t row = rows_ * (tile % tiles_) / tiles_,
                        rows = rows_ * (tile % tiles_ + 1) / tiles_ - row;
          for (size_t k = 0; k < segments.size(); ++k) {
            for (int64_t r = 0; r < kMostRows; ++r) segments[k].a[r] = firsts[k] + row + r;
          }
          T* out[kMostRows];
          for (int64_t r = 0; r < rows; ++r) out[r] = y_ + (place * rows_ + row + r) * features_ + column;
          kind.multiply[rows]({segments.data(), static_cast<int64_t>(segments.size()),
                               along_[1].step * pixel_, whole ? features_ : kind.columns, out, width, i > 0});
        }
      }
    }
  }

  // The elements that a place of the result sums up, from its first row on.
  void find_segments(const Piece* piece, const Piece* last, int64_t place, const T* columns, int64_t column,
                     int64_t wide, std::vector<Segment<T>>& segments, std::vector<const T*>& firsts) const {
    const int64_t row = place / along_[1].places, at = place % along_[1].places;
    const Along &down = along_[0], &across = along_[1];
    const int64_t start = at * across.stride - across.low;  // the pixel that the first of the window meets
    segments.clear(), firsts.clear();
    for (; piece < last; ++piece) {
      const int64_t length = piece->end - piece->first;
      const T* laid_out = columns;
      if (columns != nullptr) columns += length * wide;
      const int64_t x_row = row * down.stride + piece->row * down.step - down.low;
      if (x_row < 0 || x_row >= down.n) continue;
      const int64_t room = across.n - 1 - start;
      if (room < 0) continue;
      const int64_t first = std::max(piece->first, start < 0 ? (-start + across.step - 1) / across.step : 0);
      const int64_t end = std::min(piece->end, room / across.step + 1);
      if (first >= end) continue;
      Segment<T> segment;
      firsts.push_back(x_ +
                       ((piece->image * down.n + x_row) * across.n + start + first * across.step) * pixel_);
      segment.b =
          laid_out != nullptr
              ? laid_out + (first - piece->first) * wide
              : w_ + ((piece->image * down.size + piece->row) * across.size + first) * features_ + column;
      segment.count = end - first;
      segments.push_back(segment);
    }
  }

  // Columns of the window, as wide as the small products are.
  void lay_out(const Piece* piece, const Piece* last, int64_t column, int64_t width, int64_t wide,
               std::vector<T>& columns) const {
    int64_t depth = 0;
    for (const Piece* p = piece; p < last; ++p) depth += p->end - p->first;
    columns.resize(depth * wide);
    T* to = columns.data();
    for (; piece < last; ++piece) {
      const T* from =
          w_ + ((piece->image * along_[0].size + piece->row) * along_[1].size + piece->first) * features_;
      for (int64_t i = piece->first; i < piece->end; ++i, from += features_, to += wide) {
        std::copy(from + column, from + column + width, to);
        std::fill(to + width, to + wide, T(0));
      }
    }
  }

  const int64_t summed_, pixel_;
  int64_t rows_;  // of the small products at one place of the result
  const int64_t features_;
  const T* x_;
  const T* const w_;
  T* const y_;
  Along along_[2];
  int64_t tiles_;
  std::vector<Piece> pieces_;
  std::vector<size_t> starts_;
  std::unique_ptr<T[]> padded_;
};

// Operands: [summed, rows, columns, pixel] and the window [summed, rows, columns, features]. Result: [rows,
// columns, pixel, features].
constexpr auto filters = &run_kind<Filters>;

}  // namespace

extern const Kernel kFilterKernels[] = {kernel<filters>("anima_convolution_filters"), {nullptr, nullptr}};

}  // namespace anima::kernels
