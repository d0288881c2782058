#include "call/packing.h"

#include <cstring>
#include <stdexcept>
#include <string>

#include "array/array.h"
#include "array/host_value.h"
#include "common/thread_state.h"

namespace anima {
namespace {

[[noreturn]] void refuse(const char* why) {
  throw_python(PyExc_ValueError, "CallPlan: `packing` is none: %s", why);
}

AvalRef read_aval(PyObject* item) {
  if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 3)
    refuse("an argument is not (shape, dtype, weak_type)");
  int weak = PyObject_IsTrue(PyTuple_GET_ITEM(item, 2));
  if (weak < 0) throw PythonError();
  return intern_aval(PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1), weak == 1);
}

// The type of the pieces for arrays of `type`. XLA joins floats of few bits as wider ones, in which a NaN
// loses its bits: they travel as integers.
PJRT_Buffer_Type type_of_piece(PJRT_Buffer_Type type) {
  switch (type) {
    case PJRT_Buffer_Type_BF16:
      return PJRT_Buffer_Type_U16;
    case PJRT_Buffer_Type_F8E3M4:
    case PJRT_Buffer_Type_F8E4M3:
    case PJRT_Buffer_Type_F8E4M3B11FNUZ:
    case PJRT_Buffer_Type_F8E4M3FN:
    case PJRT_Buffer_Type_F8E4M3FNUZ:
    case PJRT_Buffer_Type_F8E5M2:
    case PJRT_Buffer_Type_F8E5M2FNUZ:
    case PJRT_Buffer_Type_F8E8M0FNU:
      return PJRT_Buffer_Type_U8;
    default:
      return type;
  }
}

// Where the bytes of an argument are, which may be `scalar`; null if they cannot be read now.
const void* address_of(PyObject* leaf, const AvalInfo& aval, Device* device, Scalar& scalar) {
  if (!is_array(leaf)) {
    if (!read_scalar(leaf, scalar) || scalar.type != aval.type || !aval.dims.empty()) return nullptr;
    return scalar.bytes;
  }
  ArrayObject* array = as_array(leaf);
  const AvalInfo& given = *array->aval;
  if (array->shards.empty()) throw_deleted(array);
  if (array->shards.size() != 1 || given.type != aval.type || given.nbytes != aval.nbytes) return nullptr;
  const BufferRef& buffer = array->shards[0];
  return buffer->device() == device ? buffer->readable() : nullptr;
}

}  // namespace

Packing::Side Packing::read_side(PyObject* pieces, const std::vector<AvalRef>& avals) {
  Side side;
  side.places.resize(avals.size());
  PyRef lists = tuple_of(pieces);
  for (Py_ssize_t p = 0; p < PyTuple_GET_SIZE(lists.get()); p++) {
    PyRef numbers = tuple_of(PyTuple_GET_ITEM(lists.get(), p));
    if (PyTuple_GET_SIZE(numbers.get()) == 0) refuse("a piece has no arrays");
    size_t bytes = 0;
    Piece piece{};
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(numbers.get()); i++) {
      size_t number = PyLong_AsSize_t(PyTuple_GET_ITEM(numbers.get(), i));
      if (number == static_cast<size_t>(-1) && PyErr_Occurred()) throw PythonError();
      if (number >= avals.size() || side.places[number].aval) refuse("an array has no place, or two");
      const AvalRef& aval = avals[number];
      if (!Contents::suits(aval->type, aval->physical_dims))
        refuse("an array is large, or of elements that share bytes");
      if (i == 0) piece.type = type_of_piece(aval->type);
      if (type_of_piece(aval->type) != piece.type) refuse("arrays of a piece differ in type");
      side.places[number] = {side.pieces.size(), bytes, aval};
      bytes += aval->nbytes;
      if (bytes > Contents::kMostBytes) refuse("a piece is too large");
    }
    piece.dims = {static_cast<int64_t>(bytes / (bits_of(piece.type) / 8))};
    side.pieces.push_back(std::move(piece));
  }
  for (const Place& place : side.places) {
    if (!place.aval) refuse("an array has no place, or two");
  }
  return side;
}

Packing::Packing(PyObject* description, size_t num_arguments, const std::vector<AvalRef>& results) {
  if (!PyTuple_Check(description) || PyTuple_GET_SIZE(description) != 3)
    refuse("it is not (arguments, argument_pieces, result_pieces)");
  PyRef items = tuple_of(PyTuple_GET_ITEM(description, 0));
  std::vector<AvalRef> arguments;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); i++)
    arguments.push_back(read_aval(PyTuple_GET_ITEM(items.get(), i)));
  if (arguments.size() != num_arguments) refuse("the program takes another number of arguments");
  arguments_ = read_side(PyTuple_GET_ITEM(description, 1), arguments);
  results_ = read_side(PyTuple_GET_ITEM(description, 2), results);
}

bool Packing::pack(const PyRef* leaves, const std::vector<size_t>& kept, Device* device,
                   SmallVector<BufferRef, 4>& pieces) const {
  if (transfers_guarded()) return false;  // a guard is asked by the other road
  Client::Use use(device->client);        // the addresses are good as long as this lives
  SmallVector<ContentsRef, 4> contents;
  for (const Piece& piece : arguments_.pieces) contents.push_back(Contents::make(piece.type, piece.dims));
  Scalar scalar;
  for (size_t i = 0; i < kept.size(); i++) {
    const Place& place = arguments_.places[i];
    const void* from = address_of(leaves[kept[i]].get(), *place.aval, device, scalar);
    if (from == nullptr) return false;
    std::memcpy(static_cast<char*>(contents[place.piece]->data()) + place.offset, from, place.aval->nbytes);
  }
  for (ContentsRef& piece : contents) pieces.push_back(std::make_shared<Buffer>(device, std::move(piece)));
  return true;
}

void Packing::check_results(const BufferRef* pieces) const {
  for (size_t i = 0; i < results_.pieces.size(); i++) {
    if (pieces[i]->type() == results_.pieces[i].type && pieces[i]->dims() == results_.pieces[i].dims)
      continue;
    throw std::invalid_argument("piece " + std::to_string(i) +
                                " of the program's results has not the shape and dtype of the packing");
  }
}

void Packing::unpack(const BufferRef* pieces, Device* device, BufferRef* results) const {
  SmallVector<const char*, 4> starts;
  Client::Use use(device->client);
  for (size_t i = 0; i < results_.pieces.size(); i++) {
    const void* start = pieces[i]->readable();
    if (start == nullptr) {
      NoGil nogil;
      pieces[i]->await_ready();
      start = pieces[i]->unsafe_pointer();
    }
    starts.push_back(static_cast<const char*>(start));
  }
  for (size_t i = 0; i < results_.places.size(); i++) {
    const Place& place = results_.places[i];
    ContentsRef contents = Contents::make(place.aval->type, place.aval->physical_dims);
    std::memcpy(contents->data(), starts[place.piece] + place.offset, place.aval->nbytes);
    results[i] = std::make_shared<Buffer>(device, std::move(contents));
  }
}

}  // namespace anima
