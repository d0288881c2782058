// Convolutions in two spatial dimensions as small products: rows are places of the result, columns its
// features, and what is summed over are the places of the window with the operand's features.
//
// Nothing is laid out anew but the part of the kernel that is in use. Places that a dilated operand's holes
// fall on differently are computed apart, each with the places of the window that meet an element.
#include "kernels/convolution.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/multiply.h"
#include "kernels/parallel.h"
#include "kernels/turn.h"

namespace anima::kernels {
namespace {

constexpr int64_t kDepth = 256;  // terms that are added up in registers, at most
constexpr int64_t kBlock = 512;  // places for which a part of the kernel is laid out
constexpr int64_t kNear = 4096;  // bytes between rows of the kernel that are as well read where they lie
constexpr int64_t kFewFeatures = 16;

template <typename T>
class Convolution {
 public:
  Convolution(const Call& call)
      : turned_(call.flag("turned")),
        reversed_(call.flag("reversed")),
        batch_(dimension(call.operand(0), 0)),
        pixel_(dimension(call.operand(0), 3)),
        summed_(pixel_),
        features_(dimension(call.result(0), 3)),
        x_(data<T>(call.operand(0))),
        w_(data<T>(call.operand(1))),
        y_(data<T>(call.result(0))) {
    const ffi::Buffer &x = call.operand(0), &w = call.operand(1), &y = call.result(0);
    for (int d = 0; d < 2; ++d) {
      along_[d] = read_along(call, d, dimension(x, d + 1), dimension(w, d), dimension(y, d + 1));
    }
    expect_shape(x, batch_, along_[0].n, along_[1].n, pixel_);
    expect_shape(w, along_[0].size, along_[1].size, turned_ ? features_ : pixel_,
                 turned_ ? pixel_ : features_);
    expect_shape(y, batch_, along_[0].places, along_[1].places, features_);
    middle_ = {x_, along_[1].n, 0};
    windows_ = along_[1].size;
  }

  void run(ffi::CallFrame& frame) {
    if (batch_ * along_[0].places * along_[1].places * features_ == 0) return;
    const Along& across = along_[1];
    if (pixel_ < kFewFeatures && across.size > 1 && across.base == 1 && across.step == 1 && !turned_ &&
        !reversed_) {
      join_pixels(frame);
    }
    zeros_.assign(summed_, T(0));
    const auto rows = phases_of(along_[0]), columns = phases_of(along_[1]);
    for (const Phase& row : rows) {
      for (const Phase& column : columns) convolve(frame, row, column);
    }
  }

 private:
  // Where the part of a sum with one place of the window lies.
  struct Part {
    int64_t row, column;  // of the element, from that of the first place
    int64_t tap, first, count;
  };
  struct Place {
    const T* image;
    int64_t line;         // pixels of a row of it
    int64_t row, column;  // of the element
    T* out;
  };
  // Columns of all images, from one on, that lie together.
  struct Strip {
    const T* pixels;
    int64_t line, first;
  };

  // A row of the window with few features becomes one place with many: its pixels lie together. Windows that
  // reach beyond the operand read strips of it that have its padding.
  void join_pixels(ffi::CallFrame& frame) {
    Along& across = along_[1];
    if ((across.places - 1) * across.stride + across.size > 2 * across.n + 64) return;
    const int64_t rows = batch_ * along_[0].n;
    left_ = std::min((across.low + across.stride - 1) / across.stride, across.places);
    const int64_t room = across.n + across.low - across.size;
    right_ = std::clamp(room < 0 ? 0 : room / across.stride + 1, left_, across.places);
    const auto strip = [&](int64_t from, int64_t until, std::unique_ptr<T[]>& padded) {
      if (from == until) return Strip{};
      const int64_t first = from * across.stride - across.low,
                    end = (until - 1) * across.stride - across.low + across.size;
      padded = padded_rows(frame, x_, rows, across.n, first, end, pixel_);
      return Strip{padded.get(), end - first, first};
    };
    before_ = strip(0, left_, padded_[0]), behind_ = strip(right_, across.places, padded_[1]);
    summed_ = pixel_ * across.size;
    across.size = windows_ = 1;
  }

  void convolve(ffi::CallFrame& frame, const Phase& row, const Phase& column) {
    const std::vector<Part> parts = parts_of(row, column);
    const auto& best = multipliers<T>();
    const int64_t wide = best.widest().columns, panels = (features_ + wide - 1) / wide;
    const int64_t places = batch_ * row.count * column.count;
    // As many parts for each thread, none too small to be worth the laying out.
    const int64_t threads = threads_of(frame), most = std::max<int64_t>(places / 48, 1);
    const int64_t wanted = std::max((places - 1) / kBlock + 1, (4 * threads - 1) / panels + 1);
    const int64_t even = panels % threads == 0 ? wanted : (wanted + threads - 1) / threads * threads;
    const int64_t blocks = std::min(even, most);
    parallel_for(frame, panels * blocks, 1, [&](int64_t begin, int64_t end) {
      std::vector<Place> found;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t panel = i / blocks, from = places * (i % blocks) / blocks;
        found.resize(places * (i % blocks + 1) / blocks - from);
        find(row, column, from, found);
        if (turned_ && features_ <= kDotColumns) {
          multiply_few(parts, found);
        } else {
          multiply_panel(parts, found, panel * wide, std::min(wide, features_ - panel * wide));
        }
      }
    });
  }

  std::vector<Part> parts_of(const Phase& row, const Phase& column) const {
    std::vector<Part> parts;
    const int64_t pieces = (summed_ + kDepth - 1) / kDepth;
    for (const auto& k : row.taps) {
      for (const auto& l : column.taps) {
        const int64_t tap = reversed_ ? (along_[0].size - 1 - k.place) * windows_ + windows_ - 1 - l.place
                                      : k.place * windows_ + l.place;
        for (int64_t i = 0; i < pieces; ++i) {
          const int64_t first = summed_ * i / pieces, end = summed_ * (i + 1) / pieces;
          parts.push_back({k.offset, l.offset, tap, first, end - first});
        }
      }
    }
    return parts;
  }

  void find(const Phase& row, const Phase& column, int64_t from, std::vector<Place>& found) const {
    const bool grouped = is_grouped(row, column);
    const int64_t images = grouped ? batch_ : 1, inner = images * row.count;
    for (Place& place : found) {
      const int64_t n = grouped ? from % images : from / (row.count * column.count);
      const int64_t p = grouped ? from / images % row.count : from / column.count % row.count;
      const int64_t q = grouped ? from / inner : from % column.count;
      const int64_t y_row = row.first + p * row.period, y_column = column.first + q * column.period;
      const Strip& strip = q < left_ ? before_ : q < right_ ? middle_ : behind_;
      place.image = strip.pixels + n * along_[0].n * strip.line * pixel_;
      place.line = strip.line;
      place.row = p * row.x_step, place.column = q * column.x_step - strip.first;
      place.out = y_ + ((n * along_[0].places + y_row) * along_[1].places + y_column) * features_;
      ++from;
    }
  }

  // Whether the same places of all images stand together, so that what meets only padding can be left out;
  // else places that are near in memory do.
  bool is_grouped(const Phase& row, const Phase& column) const {
    const bool joined = summed_ != pixel_;
    return row.inside(along_[0].n) * (joined ? 1 : column.inside(along_[1].n)) < 0.95;
  }

  // All features, where they are few.
  void multiply_few(const std::vector<Part>& parts, const std::vector<Place>& places) const {
    const auto multiply = multipliers<T>().dots[features_];
    std::vector<Segment<T>> segments(parts.size());
    Place some[kDotRows];
    for (size_t from = 0; from < places.size(); from += kDotRows) {
      T* out[kDotRows];
      for (int64_t i = 0; i < kDotRows; ++i) {
        // The last place stands for those behind it.
        some[i] = places[std::min(from + i, places.size() - 1)];
        out[i] = some[i].out;
      }
      int64_t used = 0;
      for (const Part& part : parts) {
        segments[used].b = w_ + part.tap * summed_ * features_ + part.first;
        segments[used].count = part.count;
        used += find_elements(some, kDotRows, part, segments[used]);
      }
      multiply({segments.data(), used, 1, summed_, out, features_, false});
    }
  }

  void multiply_panel(const std::vector<Part>& parts, const std::vector<Place>& places, int64_t column,
                      int64_t width) const {
    const auto& kind = multipliers<T>().for_columns(width);
    const bool direct = width == kind.columns && !turned_ && features_ * int64_t{sizeof(T)} <= kNear;
    const int64_t count = places.size(), tiles = (count + kind.rows - 1) / kind.rows;
    std::vector<T> kernel;
    std::vector<Segment<T>> laid_out, segments;
    const Part *begin = parts.data(), *last = begin + parts.size(), *end = group(begin, last);
    for (bool first = true; first || begin < last; first = false) {
      laid_out.resize(end - begin), segments.resize(end - begin);
      if (direct) {
        for (size_t s = 0; s < laid_out.size(); ++s) {
          laid_out[s].b = w_ + (begin[s].tap * summed_ + begin[s].first) * features_ + column;
          laid_out[s].count = begin[s].count;
        }
      } else {
        lay_out(begin, laid_out, column, width, kind.columns, kernel);
      }
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = count * t / tiles, rows = count * (t + 1) / tiles - from;
        T* out[kMostRows];
        for (int64_t i = 0; i < rows; ++i) out[i] = places[from + i].out + column;
        int64_t used = 0;
        for (size_t s = 0; s < laid_out.size(); ++s) {
          Segment<T>& segment = segments[used];
          segment.b = laid_out[s].b, segment.count = laid_out[s].count;
          used += find_elements(&places[from], rows, begin[s], segment);
        }
        if (used == 0 && !first) continue;
        kind.multiply[rows](
            {segments.data(), used, 1, direct ? features_ : kind.columns, out, width, !first});
      }
      begin = end, end = group(end, last);
    }
  }

  // The end of the parts that are added up at once.
  static const Part* group(const Part* part, const Part* last) {
    int64_t depth = 0;
    for (const Part* first = part; part < last && (part == first || depth + part->count <= kDepth); ++part) {
      depth += part->count;
    }
    return part;
  }

  // What the places meet at one place of the window. Whether that is more than padding.
  bool find_elements(const Place* places, int64_t rows, const Part& part, Segment<T>& segment) const {
    bool any = false;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = places[i].row + part.row, column = places[i].column + part.column;
      const bool inside = static_cast<uint64_t>(row) < static_cast<uint64_t>(along_[0].n) &&
                          static_cast<uint64_t>(column) < static_cast<uint64_t>(places[i].line);
      segment.a[i] =
          inside ? places[i].image + (row * places[i].line + column) * pixel_ + part.first : zeros_.data();
      any |= inside;
    }
    return any;
  }

  // Some columns of the kernel, as wide as the small products are.
  void lay_out(const Part* parts, std::vector<Segment<T>>& segments, int64_t column, int64_t width,
               int64_t wide, std::vector<T>& kernel) const {
    int64_t depth = 0;
    for (size_t s = 0; s < segments.size(); ++s) depth += parts[s].count;
    kernel.resize(depth * wide);
    T* to = kernel.data();
    for (size_t s = 0; s < segments.size(); ++s) {
      const Part& part = parts[s];
      segments[s].b = to, segments[s].count = part.count;
      const T* from = w_ + part.tap * summed_ * features_;
      if (turned_) {
        turn(from + column * summed_ + part.first, summed_, to, wide, width, part.count);
      } else {
        from += part.first * features_ + column;
        for (int64_t k = 0; k < part.count; ++k)
          std::copy(from + k * features_, from + k * features_ + width, to + k * wide);
      }
      for (int64_t k = 0; k < part.count && width < wide; ++k)
        std::fill(to + k * wide + width, to + (k + 1) * wide, T(0));
      to += part.count * wide;
    }
  }

  const bool turned_, reversed_;
  const int64_t batch_, pixel_;
  int64_t summed_;  // features that are summed over at one place of the window
  const int64_t features_;
  const T* x_;
  const T* const w_;
  T* const y_;
  Along along_[2];
  int64_t windows_;  // places of the window in a row
  // Places in a row from `left_` to `right_` read the operand itself, those around them the other strips.
  int64_t left_ = 0, right_ = std::numeric_limits<int64_t>::max();
  Strip before_ = {}, middle_, behind_ = {};
  std::unique_ptr<T[]> padded_[2];
  std::vector<T> zeros_;
};

// Operands: [batch, rows, columns, summed] and the kernel [rows, columns, summed, features], or with its last
// two dimensions turned. Result: [batch, rows, columns, features].
constexpr auto convolution = &run_kind<Convolution>;

}  // namespace

extern const Kernel kConvolutionKernels[] = {kernel<convolution>("anima_convolution"), {nullptr, nullptr}};

}  // namespace anima::kernels
