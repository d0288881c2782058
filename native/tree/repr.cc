// The text of a structure: PyTreeDef((*, {'a': *})).
#include "tree/tree.h"

namespace anima {
namespace {

// UTF-8, lone surrogates let through.
std::string utf8(PyObject* text) {
  PyRef bytes = PyRef::steal(checked(PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass")));
  return std::string(PyBytes_AS_STRING(bytes.get()), static_cast<size_t>(PyBytes_GET_SIZE(bytes.get())));
}

std::string text_of(PyObject* object, PyObject* (*convert)(PyObject*)) {
  return utf8(PyRef::steal(checked(convert(object))).get());
}

std::string type_name(PyObject* type) {
  return utf8(PyRef::steal(checked(PyObject_GetAttrString(type, "__name__"))).get());
}

class Writer {
 public:
  explicit Writer(const TreeDef& def) : node_(def.nodes.data()) {}

  std::string write() {
    append();
    return std::move(text_);
  }

 private:
  void append() {
    const Node& node = *node_++;
    RecursionGuard guard;
    switch (node.kind) {
      case NodeKind::kLeaf:
        text_ += '*';
        return;
      case NodeKind::kNone:
        text_ += "None";
        return;
      case NodeKind::kTuple:
        return append_items(node, "(", node.arity == 1 ? ",)" : ")");
      case NodeKind::kList:
        return append_items(node, "[", "]");
      case NodeKind::kDict:
        return append_dict(node);
      case NodeKind::kNamedTuple:
        return append_custom(node, "namedtuple", type_name(node.data.get()));
      case NodeKind::kOrderedDict:
        return append_custom(node, "OrderedDict", text_of(node.data.get(), PyObject_Str));
      case NodeKind::kDefaultDict:
        return append_custom(node, "defaultdict", text_of(node.data.get(), PyObject_Str));
      default:
        return append_custom(node, type_name(reinterpret_cast<PyObject*>(node.custom->type)),
                             text_of(node.data.get(), PyObject_Str));
    }
  }

  void append_items(const Node& node, const char* open, const char* close) {
    text_ += open;
    for (int64_t i = 0; i < node.arity; i++) {
      if (i > 0) text_ += ", ";
      append();
    }
    text_ += close;
  }

  void append_dict(const Node& node) {
    text_ += '{';
    for (int64_t i = 0; i < node.arity; i++) {
      if (i > 0) text_ += ", ";
      text_ += text_of(PyTuple_GET_ITEM(node.data.get(), i), PyObject_Repr) + ": ";
      append();
    }
    text_ += '}';
  }

  void append_custom(const Node& node, const std::string& name, const std::string& data) {
    text_ += "CustomNode(" + name + "[" + data + "], ";
    append_items(node, "[", "])");
  }

  const Node* node_;
  std::string text_;
};

}  // namespace

std::string treedef_repr(const TreeDef& def) { return "PyTreeDef(" + Writer(def).write() + ")"; }

std::string shortened(std::string text) {
  if (text.size() > 300) text.replace(300, std::string::npos, "...");
  return text;
}

}  // namespace anima
