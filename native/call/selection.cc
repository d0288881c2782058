#include "call/selection.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "array/numpy_api.h"
#include "call/host_kernel.h"

namespace anima {
namespace {

constexpr int64_t kFar = std::numeric_limits<int32_t>::max();

bool read_numpy_memory(PyArrayObject* array, Dense& out) {
  if (!PyArray_IS_C_CONTIGUOUS(array) || !PyArray_ISBEHAVED_RO(array)) return false;
  out.type = known_type(reinterpret_cast<PyObject*>(PyArray_DESCR(array)));
  out.num_dims = static_cast<size_t>(PyArray_NDIM(array));
  if (out.num_dims > Dense::kMostDims) return false;
  for (size_t d = 0; d < out.num_dims; d++) out.dims[d] = PyArray_DIM(array, static_cast<int>(d));
  out.size = static_cast<size_t>(PyArray_SIZE(array));
  out.data = PyArray_DATA(array);
  return out.type != PJRT_Buffer_Type_INVALID;
}

// A slice of Python's whose bounds are all ints or missing: others may run code of their own.
bool is_plain_slice(PyObject* object) {
  auto* slice = reinterpret_cast<PySliceObject*>(object);
  auto plain = [](PyObject* bound) { return bound == Py_None || PyLong_CheckExact(bound); };
  return plain(slice->start) && plain(slice->stop) && plain(slice->step);
}

// Whole numbers of Python's or NumPy's that are no truth values; false for others, and for those far out.
bool read_whole(PyObject* object, int64_t& value) {
  if (!PyLong_CheckExact(object) && !(PyArray_IsScalar(object, Integer) && is_of_c(object))) return false;
  PyRef number = PyRef::steal(PyNumber_Index(object));
  if (!number) return PyErr_Clear(), false;  // spans of time are whole numbers, too
  int overflow = 0;
  value = PyLong_AsLongLongAndOverflow(number.get(), &overflow);
  return overflow == 0;
}

template <class T>
bool is_near(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return true;
  } else if constexpr (std::is_unsigned_v<T>) {
    return value <= static_cast<uint64_t>(kFar);
  } else {
    return value >= -kFar && value <= kFar;
  }
}

}  // namespace

bool read_dense(PyObject* object, Whereabouts& where, Dense& out) {
  if (PyArray_CheckExact(object)) return read_numpy_memory(as_numpy(object), out);
  if (!is_array(object)) return false;
  ArrayObject* array = as_array(object);
  const AvalInfo& aval = *array->aval;
  if (aval.extended || array->sharding != nullptr || array->shards.size() != 1) return false;
  if (aval.dims.size() > Dense::kMostDims || array->shards[0]->device() != where.device) return false;
  out.type = aval.type;
  out.num_dims = aval.dims.size();
  std::copy(aval.dims.begin(), aval.dims.end(), out.dims);
  out.size = static_cast<size_t>(aval.size);
  out.data = array->shards[0]->readable();
  where.committed |= array->committed;
  return out.data != nullptr;
}

// Goes through an index twice: what its items are, and then what they select.
class Selection::Reader {
 public:
  Reader(Selection& out, const std::vector<int64_t>& shape, Outside outside, Whereabouts& where)
      : out_(out), shape_(shape), outside_(outside), where_(where) {}

  bool run(PyObject* index) {
    if (shape_.size() > kMostDims) return false;
    if (PyTuple_CheckExact(index)) {
      if (PyTuple_GET_SIZE(index) > 2 * static_cast<Py_ssize_t>(kMostDims)) return false;
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(index); i++) {
        if (!scan(PyTuple_GET_ITEM(index, i))) return false;
      }
    } else if (!scan(index)) {
      return false;
    }
    if (used_ > shape_.size()) return false;
    // Of an array without elements no place is ever reached, and a product of its sizes may be out of range.
    int64_t step = std::find(shape_.begin(), shape_.end(), 0) == shape_.end();
    for (size_t d = shape_.size(); d-- > 0; step *= step == 0 ? 1 : shape_[d]) steps_[d] = step;
    for (const Item& item : items_) {
      if (!take(item)) return false;
    }
    while (dim_ < shape_.size()) keep_dim();
    return finish();
  }

 private:
  enum class Kind : uint8_t { kWhole, kSlice, kNew, kEllipsis, kMask, kArray };
  struct Item {
    Kind kind;
    int64_t value;  // of a whole number
    PyObject* object;
    Dense dense;
  };
  // An index array, and what it adds to the place.
  struct Vector {
    const Dense* dense;
    bool mask;
    int64_t size, step;  // of the array's dimension
  };

  bool scan(PyObject* object) {
    Item& item = items_.emplace_back();
    item.object = object;
    if (object == Py_None) return item.kind = Kind::kNew, true;
    if (object == Py_Ellipsis) return item.kind = Kind::kEllipsis, !std::exchange(shortened_, true);
    used_++;
    if (PySlice_Check(object)) return item.kind = Kind::kSlice, is_plain_slice(object);
    if (read_whole(object, item.value)) return item.kind = Kind::kWhole, true;
    if (!read_dense(object, where_, item.dense)) return false;
    arrays_ = true;
    if (item.dense.size > kMost) return false;
    item.kind = item.dense.type == PJRT_Buffer_Type_PRED ? Kind::kMask : Kind::kArray;
    if (item.kind == Kind::kArray) return is_integer(item.dense.type);
    used_ += item.dense.num_dims - 1;
    return item.dense.num_dims > 0;
  }

  bool take(const Item& item) {
    switch (item.kind) {
      case Kind::kNew:
        out_.all_ = false;
        add_dim(1, 0);
        return true;
      case Kind::kEllipsis:
        for (size_t left = shape_.size() - used_; left > 0; left--) keep_dim();
        return true;
      case Kind::kSlice:
        return take_slice(item.object);
      case Kind::kWhole:
        return take_whole(item.value);
      case Kind::kMask:
        return take_mask(item.dense);
      default:
        return take_array(item.dense);
    }
  }

  void add_dim(int64_t size, int64_t step) {
    basic_.push_back({size, step});
    number_++;
  }
  void keep_dim() {
    add_dim(shape_[dim_], steps_[dim_]);
    dim_++;
  }

  bool take_slice(PyObject* slice) {
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0) return PyErr_Clear(), false;
    int64_t size = PySlice_AdjustIndices(shape_[dim_], &start, &stop, step);
    if (size == shape_[dim_] && step == 1) return keep_dim(), true;
    out_.all_ = false;
    if (size > 0) out_.base_ += start * steps_[dim_];
    add_dim(size, size > 1 ? step * steps_[dim_] : 0);
    dim_++;
    return true;
  }

  bool take_whole(int64_t value) {
    int64_t size = shape_[dim_];
    if (value < -size || value >= size) return false;
    out_.base_ += (value < 0 ? value + size : value) * steps_[dim_];
    if (arrays_) note_vector(1);
    out_.all_ = false;
    dim_++;
    return true;
  }

  bool take_mask(const Dense& dense) {
    for (size_t d = 0; d < dense.num_dims; d++) {
      if (dense.dims[d] != shape_[dim_ + d]) return false;
    }
    note_vector(dense.num_dims);
    dim_ += dense.num_dims;
    vectors_.push_back({&dense, true, static_cast<int64_t>(dense.size), steps_[dim_ - 1]});
    return true;
  }

  bool take_array(const Dense& dense) {
    int64_t size = shape_[dim_];
    if (size == 0 || size > kFar) return false;
    note_vector(1);
    vectors_.push_back({&dense, false, size, steps_[dim_]});
    dim_++;
    return true;
  }

  // Index arrays that stand side by side leave their dimensions there, others before all.
  void note_vector(size_t numbers) {
    if (first_ == kNone) {
      first_ = number_;
      front_ = basic_.size();
    }
    together_ = together_ && (taken_ == 0 || number_ == first_ + taken_);
    number_ += numbers;
    taken_ += numbers;
  }

  bool finish() {
    size_t front = arrays_ && together_ ? front_ : 0;
    for (size_t d = 0; d < basic_.size(); d++) (d < front ? out_.before_ : out_.after_).push_back(basic_[d]);
    if (!arrays_) {
      out_.places_.push_back(0);
    } else if (!read_vectors()) {
      return false;
    }
    out_.all_ = out_.all_ && !arrays_;
    for (const Dim& dim : out_.before_) out_.dims_.push_back(dim.size);
    out_.dims_.insert(out_.dims_.end(), batch_.begin(), batch_.end());
    for (const Dim& dim : out_.after_) out_.dims_.push_back(dim.size);
    for (int64_t size : out_.dims_) {
      if (size > static_cast<int64_t>(kMost)) return false;
      if (out_.size_ <= static_cast<int64_t>(kMost)) out_.size_ *= size;
    }
    return out_.size_ <= static_cast<int64_t>(kMost);
  }

  // ---- index arrays ----

  bool read_vectors() {
    SmallVector<int64_t, 64> own[kMostVectors];
    if (vectors_.size() > kMostVectors) return false;
    for (size_t i = 0; i < vectors_.size(); i++) {
      if (!read_vector(vectors_[i], own[i]) || !broaden(vectors_[i], own[i].size())) return false;
    }
    int64_t total = 1;
    for (int64_t size : batch_) {
      total *= size;
      if (total > static_cast<int64_t>(kMost)) return false;
    }
    out_.places_.extend_to(static_cast<size_t>(total));
    for (size_t i = 0; i < vectors_.size(); i++) add(vectors_[i], own[i]);
    return true;
  }

  bool read_vector(const Vector& vector, SmallVector<int64_t, 64>& own) const {
    if (vector.mask) {
      auto* chosen = static_cast<const uint8_t*>(vector.dense->data);
      for (int64_t i = 0; i < vector.size; i++) {
        if (chosen[i] != 0) own.push_back(i * vector.step);
      }
      return true;
    }
    own.reserve(vector.dense->size);
    return for_number_type(vector.dense->type, [&](auto zero) {
      using T = decltype(zero);
      auto* values = static_cast<const T*>(vector.dense->data);
      for (size_t i = 0; i < vector.dense->size; i++) {
        if (!is_near(values[i])) return false;
        int64_t value = static_cast<int64_t>(values[i]);
        if (value < 0) value += vector.size;
        bool inside = value >= 0 && value < vector.size;
        if (!inside && outside_ == Outside::kRefused) return false;
        if (!inside) value = value < 0 ? 0 : vector.size - 1;
        own.push_back(inside || outside_ == Outside::kNearest ? value * vector.step : kNowhere);
      }
      return true;
    });
  }

  static size_t rank(const Vector& vector) { return vector.mask ? 1 : vector.dense->num_dims; }
  static int64_t extent(const Vector& vector, size_t d, size_t found) {
    return vector.mask ? static_cast<int64_t>(found) : vector.dense->dims[d];
  }

  // Makes the shape of the index arrays one that this one broadcasts to, too.
  bool broaden(const Vector& vector, size_t found) {
    while (batch_.size() < rank(vector)) batch_.insert(batch_.begin(), 1);
    size_t offset = batch_.size() - rank(vector);
    for (size_t d = 0; d < rank(vector); d++) {
      int64_t size = extent(vector, d, found);
      if (batch_[offset + d] == 1) batch_[offset + d] = size;
      if (size != 1 && size != batch_[offset + d]) return false;
    }
    return true;
  }

  void add(const Vector& vector, const SmallVector<int64_t, 64>& own) {
    size_t offset = batch_.size() - rank(vector);
    for (size_t place = 0; place < out_.places_.size(); place++) {
      size_t left = place, at = place;
      if (own.size() != out_.places_.size()) {
        at = 0;
        size_t step = 1;
        for (size_t d = batch_.size(); d-- > offset; left /= static_cast<size_t>(batch_[d])) {
          int64_t size = extent(vector, d - offset, own.size());
          if (size != 1) at += left % static_cast<size_t>(batch_[d]) * step;
          step *= static_cast<size_t>(size);
        }
      }
      int64_t& sum = out_.places_[place];
      sum = sum == kNowhere || own[at] == kNowhere ? kNowhere : sum + own[at];
    }
  }

  static constexpr size_t kMostDims = Dense::kMostDims, kMostVectors = 4;
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  Selection& out_;
  const std::vector<int64_t>& shape_;
  const Outside outside_;
  Whereabouts& where_;
  SmallVector<Item, 4> items_;
  SmallVector<Vector, kMostVectors> vectors_;
  SmallVector<Dim, 8> basic_;
  std::vector<int64_t> batch_;
  int64_t steps_[kMostDims];
  size_t used_ = 0, dim_ = 0;                                  // dimensions
  size_t number_ = 0, first_ = kNone, front_ = 0, taken_ = 0;  // what index arrays stand between
  bool shortened_ = false, arrays_ = false, together_ = true;
};

bool Selection::read(const std::vector<int64_t>& shape, PyObject* index, Outside outside,
                     Whereabouts& where) {
  return Reader(*this, shape, outside, where).run(index);
}

}  // namespace anima
