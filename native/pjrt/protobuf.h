// Reading serialised protocol buffers, field by field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace anima {

// Steps through the fields of one message. Throws std::invalid_argument, saying `complaint`, if the bytes
// are no message.
class Fields {
 public:
  Fields(const char* data, size_t size, const char* complaint)
      : at_(data), end_(data + size), complaint_(complaint) {}
  // Those of the message that this one has come to.
  Fields nested() const { return Fields(bytes, size, complaint_); }

  bool next() {
    if (at_ == end_) return false;
    uint64_t key = varint();
    number = static_cast<uint32_t>(key >> 3);
    is_number = (key & 7) == 0;
    bytes = nullptr;
    switch (key & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        skip(8);
        break;
      case 2:
        size = varint();
        bytes = at_;
        skip(size);
        break;
      case 5:
        skip(4);
        break;
      default:
        malformed();
    }
    return true;
  }
  bool done() const { return at_ == end_; }
  // The end of the field that this one has come to, and so the start of the next.
  const char* position() const { return at_; }
  // The next number of a packed list, which such a message is.
  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) malformed();
      unsigned char byte = static_cast<unsigned char>(*at_++);
      result |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return result;
    }
    malformed();
  }

  uint32_t number = 0;
  bool is_number = false;
  uint64_t value = 0;           // of a number
  const char* bytes = nullptr;  // of a nested message or string, else null
  uint64_t size = 0;

 private:
  [[noreturn]] void malformed() const { throw std::invalid_argument(complaint_); }
  void skip(uint64_t count) {
    if (count > static_cast<uint64_t>(end_ - at_)) malformed();
    at_ += count;
  }

  const char* at_;
  const char* end_;
  const char* complaint_;
};

}  // namespace anima
