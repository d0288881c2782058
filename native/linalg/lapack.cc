// The list of LAPACK functions, and reading the signatures that their capsules state.
#include "linalg/lapack.h"

#include <stdexcept>

#include "kernels/kernel.h"

namespace anima::linalg {
namespace {

const AnyFunction* last_made = nullptr;  // set before any constructor of a static object runs

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// A type of a signature in our spelling. Cython spells an element type by a typedef of the module, by C's
// name, or by its own name of complex numbers.
std::string plain_type(std::string text) {
  const bool pointer = !text.empty() && text.back() == '*';
  if (pointer) text.pop_back();
  static const std::pair<const char*, const char*> kEndings[] = {
      {"float_complex", "c"}, {"double_complex", "z"}, {"_s", "s"}, {"_d", "d"}, {"_c", "c"}, {"_z", "z"}};
  if (text.find("select") != std::string::npos) {
    text = "select";
  } else if (text == "float") {
    text = "s";
  } else if (text == "double") {
    text = "d";
  } else {
    for (const auto& [end, letter] : kEndings) {
      if (!ends_with(text, end)) continue;
      text = letter;
      break;
    }
  }
  return pointer ? text + "*" : text;
}

std::string plain_signature(const std::string& text) {
  std::string result, type;
  for (const char c : text) {
    if (c == ' ') continue;
    if (c != '(' && c != ')' && c != ',') {
      type += c;
      continue;
    }
    result += plain_type(type) + c;
    type.clear();
  }
  return result;
}

}  // namespace

AnyFunction::AnyFunction(std::string name, std::string signature)
    : name_(std::move(name)), signature_(std::move(signature)), next_(last_made) {
  last_made = this;
}

const AnyFunction* AnyFunction::first() { return last_made; }

void AnyFunction::throw_unbound() const {
  throw kernels::KernelError("the LAPACK function '" + name_ +
                             "' is not there: the installed SciPy does not export it");
}

void AnyFunction::bind(const std::string& name, const std::string& signature, void* pointer) {
  bool found = false;
  const std::string plain = plain_signature(signature);
  for (const AnyFunction* f = first(); f != nullptr; f = f->next()) {
    if (f->name_ != name) continue;
    found = true;
    if (plain != f->signature_) {
      throw std::invalid_argument("'" + name + "' has the signature '" + signature + "', where '" +
                                  f->signature_ + "' was expected");
    }
    f->pointer_.store(pointer, std::memory_order_release);
  }
  if (!found) throw std::invalid_argument("no kernel calls '" + name + "'");
}

}  // namespace anima::linalg
