// What callables of ours that stand for a Python function have in common: they are called by vectorcall,
// bound to instances, given attributes, copied and pickled as functions are, and may hold one another to any
// depth.
#pragma once

#include <Python.h>
#include <structmember.h>

#include "call/by_name.h"
#include "common/py.h"

namespace anima {

// The first member of such an object.
struct FunctionObject {
  PyObject_HEAD;
  vectorcallfunc vectorcall;
  PyObject* fun;
  PyObject* dict;
  PyObject* weakrefs;
};

inline FunctionObject* as_function(PyObject* object) { return reinterpret_cast<FunctionObject*>(object); }

// Of a type's members those that every such type has, but for the last, empty one.
constexpr PyMemberDef kVectorcallMember = {"__vectorcalloffset__", T_PYSSIZET,
                                           offsetof(FunctionObject, vectorcall), READONLY, nullptr};
constexpr PyMemberDef kDictMember = {"__dictoffset__", T_PYSSIZET, offsetof(FunctionObject, dict), READONLY,
                                     nullptr};
constexpr PyMemberDef kWeakrefsMember = {"__weaklistoffset__", T_PYSSIZET, offsetof(FunctionObject, weakrefs),
                                         READONLY, nullptr};

constexpr unsigned long kFunctionFlags =
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;

extern PyGetSetDef function_properties[];
extern PyMemberDef function_members[];
extern PyMethodDef function_methods[];

// An object that is part of garbage is never called again, but its type's slots may be: they find None.
void replace_by_none(PyObject*& member);

int traverse_function(PyObject* object, visitproc visit, void* arg);
int clear_function(PyObject* object);
PyObject* bind_function(PyObject* object, PyObject* instance, PyObject*);
PyObject* repr_of_function(PyObject* object);
// Releases what all such objects hold, and the object.
void release_function(PyObject* object);

// A tp_dealloc that calls `release`, which ends in release_function, however deep objects hold one another.
template <void (*release)(PyObject*)>
void dealloc_function(PyObject* object) {
  PyObject_GC_UnTrack(object);
  Py_TRASHCAN_BEGIN(object, dealloc_function<release>);
  release(object);
  Py_TRASHCAN_END;
}

// All objects of a type, which have members `previous` and `next`.
template <class Object>
class AllOf {
 public:
  void add(Object* object) {
    object->previous = nullptr;
    object->next = first_;
    if (first_ != nullptr) first_->previous = object;
    first_ = object;
  }
  void remove(Object* object) {
    if (object->next != nullptr) object->next->previous = object->previous;
    (object->previous != nullptr ? object->previous->next : first_) = object->next;
  }
  Object* first() const { return first_; }

 private:
  Object* first_ = nullptr;
};

}  // namespace anima
