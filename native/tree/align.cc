// Cutting a tree where another structure has its leaves.
#include "tree/dict_reader.h"
#include "tree/tree.h"

namespace anima {
namespace {

class Aligner {
 public:
  Aligner(const TreeDef& def, Leaves& subtrees) : def_(def), node_(def.nodes.data()), subtrees_(subtrees) {}

  void visit(PyObject* object) {
    const Node& node = *node_++;
    if (node.kind == NodeKind::kLeaf) {
      subtrees_.emplace_back(PyRef::borrow(object));
      return;
    }
    check_type(node, object);
    if (node.kind == NodeKind::kNone) return;
    RecursionGuard guard;
    switch (node.kind) {
      case NodeKind::kTuple:
      case NodeKind::kNamedTuple:
        return visit_items(node, object, object);
      case NodeKind::kList: {
        PyRef items = PyRef::steal(checked(PyList_AsTuple(object)));
        return visit_items(node, items.get(), object);
      }
      case NodeKind::kDataclass:
        return visit_dataclass(node, object);
      case NodeKind::kCustom: {
        Parts parts = take_apart(object, *node.custom, false);
        check_data(node, parts.aux.get(), object);
        return visit_items(node, parts.children.get(), object);
      }
      default:
        return visit_dict(node, object);
    }
  }

 private:
  struct Step {
    const Node* parent;
    int64_t index;
  };

  static PyObject* expected_type(const Node& node) {
    switch (node.kind) {
      case NodeKind::kNone:
        return reinterpret_cast<PyObject*>(Py_TYPE(Py_None));
      case NodeKind::kTuple:
        return reinterpret_cast<PyObject*>(&PyTuple_Type);
      case NodeKind::kList:
        return reinterpret_cast<PyObject*>(&PyList_Type);
      case NodeKind::kDict:
        return reinterpret_cast<PyObject*>(&PyDict_Type);
      case NodeKind::kOrderedDict:
        return reinterpret_cast<PyObject*>(&PyODict_Type);
      case NodeKind::kDefaultDict:
        return reinterpret_cast<PyObject*>(default_dict_type());
      case NodeKind::kNamedTuple:
        return node.data.get();
      default:
        return reinterpret_cast<PyObject*>(node.custom->type);
    }
  }

  void check_type(const Node& node, PyObject* object) {
    PyObject* expected = expected_type(node);
    if (reinterpret_cast<PyObject*>(Py_TYPE(object)) == expected) return;
    if (node.kind == NodeKind::kNone) {
      fail(
          "expected None, got %s. None is a tree without leaves; to have it count as a leaf, pass "
          "is_leaf=lambda x: x is None",
          shown(object).c_str());
    }
    fail("expected %s %s, got %s", node.kind == NodeKind::kCustom ? "the custom node" : "a",
         shown(PyRef::steal(checked(PyObject_GetAttrString(expected, "__name__"))).get(), PyObject_Str)
             .c_str(),
         shown(object).c_str());
  }

  void check_data(const Node& node, PyObject* data, PyObject* object) {
    int equal = PyObject_RichCompareBool(node.data.get(), data, Py_EQ);
    if (equal < 0) throw PythonError();
    if (equal == 1) return;
    fail(
        "the data that is not among the children (aux data, meta fields) differs: expected %s, got %s; "
        "value: %s",
        shown(node.data.get()).c_str(), shown(data).c_str(), shown(object).c_str());
  }

  void visit_items(const Node& node, PyObject* items, PyObject* object) {
    if (PyTuple_GET_SIZE(items) != node.arity) {
      fail("expected %lld children, got %zd: %s", static_cast<long long>(node.arity), PyTuple_GET_SIZE(items),
           shown(object).c_str());
    }
    for (int64_t i = 0; i < node.arity; i++) visit_child(node, i, PyTuple_GET_ITEM(items, i));
  }

  void visit_dataclass(const Node& node, PyObject* object) {
    check_data(node, meta_values(object, *node.custom).get(), object);
    for (int64_t i = 0; i < node.arity; i++) {
      PyRef child =
          PyRef::steal(checked(PyObject_GetAttr(object, PyTuple_GET_ITEM(node.custom->data_fields, i))));
      visit_child(node, i, child.get());
    }
  }

  void visit_dict(const Node& node, PyObject* dict) {
    check_keys(node, dict);
    DictReader reader(dict);
    for (int64_t i = 0; i < node.arity; i++) {
      PyRef child = reader.next(PyTuple_GET_ITEM(keys_of(node), i));
      if (!child) fail_keys(node, dict);
      visit_child(node, i, child.get());
    }
  }

  void check_keys(const Node& node, PyObject* dict) {
    if (PyDict_GET_SIZE(dict) != node.arity) fail_keys(node, dict);
    if (node.kind == NodeKind::kDefaultDict) {
      PyRef factory = PyRef::steal(checked(PyObject_GetAttrString(dict, "default_factory")));
      PyObject* expected = PyTuple_GET_ITEM(node.data.get(), 0);
      int equal = PyObject_RichCompareBool(factory.get(), expected, Py_EQ);
      if (equal < 0) throw PythonError();
      if (equal == 0) {
        fail("expected the default factory %s, got %s", shown(expected).c_str(),
             shown(factory.get()).c_str());
      }
    }
    if (node.kind == NodeKind::kOrderedDict) {
      PyRef keys = PyRef::steal(checked(PySequence_Tuple(dict)));
      int equal = PyObject_RichCompareBool(keys.get(), node.data.get(), Py_EQ);
      if (equal < 0) throw PythonError();
      if (equal == 0) fail_keys(node, dict);
    }
  }

  [[noreturn]] void fail_keys(const Node& node, PyObject* dict) {
    PyRef expected = PyRef::steal(checked(PySequence_List(keys_of(node))));
    PyRef keys = PyRef::steal(checked(PySequence_List(dict)));
    fail("expected a dict with the keys %s, got one with the keys %s", shown(expected.get()).c_str(),
         shown(keys.get()).c_str());
  }

  void visit_child(const Node& node, int64_t index, PyObject* child) {
    path_.push_back({&node, index});
    visit(child);
    path_.pop_back();
  }

  static std::string shown(PyObject* object, PyObject* (*convert)(PyObject*) = PyObject_Repr) {
    PyRef text = PyRef::steal(checked(convert(object)));
    PyRef bytes = PyRef::steal(checked(PyUnicode_AsEncodedString(text.get(), "utf-8", "backslashreplace")));
    return shortened(PyBytes_AS_STRING(bytes.get()));
  }

  std::string place() {
    std::string text = "tree";
    for (const Step& step : path_) {
      const Node& parent = *step.parent;
      switch (parent.kind) {
        case NodeKind::kDict:
        case NodeKind::kOrderedDict:
        case NodeKind::kDefaultDict:
          text += "[" + shown(PyTuple_GET_ITEM(keys_of(parent), step.index)) + "]";
          break;
        case NodeKind::kDataclass:
          text += "." + shown(PyTuple_GET_ITEM(parent.custom->data_fields, step.index), PyObject_Str);
          break;
        case NodeKind::kCustom:
          text += "[child " + std::to_string(step.index) + "]";
          break;
        default:
          text += "[" + std::to_string(step.index) + "]";
      }
    }
    return text;
  }

  template <class... Args>
  [[noreturn]] void fail(const char* format, Args... args) {
    PyRef what = PyRef::steal(checked(PyUnicode_FromFormat(format, args...)));
    throw_python(PyExc_ValueError, "pytree structures differ at %s: %U (expected structure: %s)",
                 place().c_str(), what.get(), shortened(treedef_repr(def_)).c_str());
  }

  const TreeDef& def_;
  const Node* node_;
  Leaves& subtrees_;
  std::vector<Step> path_;
};

}  // namespace

void flatten_up_to(const TreeDef& def, PyObject* tree, Leaves& subtrees) {
  Aligner(def, subtrees).visit(tree);
}

}  // namespace anima
