#include "call/bind_operation.h"

#include <structmember.h>

#include "common/py.h"
#include "common/thread_state.h"
#include "trace/trace.h"

namespace anima {
namespace {

PyTypeObject* bind_type = nullptr;  // owned for the life of the process
PyObject* eager_name = nullptr;     // likewise

struct BindObject {
  PyObject_HEAD vectorcallfunc vectorcall;
};

PyObject* vectorcall(PyObject*, PyObject* const* args, size_t flagged, PyObject* names) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    const size_t count = PyVectorcall_NARGS(flagged);
    if (count == 0) throw_python(PyExc_TypeError, "Primitive.bind: the primitive is missing");
    if (PyObject* trace = current_trace()) return processed(trace, args[0], {args + 1, count - 1, names});
    PyRef eager = PyRef::steal(checked(PyObject_GetAttr(args[0], eager_name)));
    return checked(PyObject_Vectorcall(eager.get(), args + 1, count - 1, names));
  });
}

PyObject* bind_to(PyObject* object, PyObject* instance, PyObject*) {
  if (instance == nullptr || instance == Py_None) return PyRef::borrow(object).release();
  return PyMethod_New(object, instance);
}

void dealloc(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(BindObject, vectorcall), READONLY, nullptr}, {}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("bind(self, *args, **params)\n--\n\n"
                                  "Apply the operation to values that already satisfy its dtype rule.")},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_descr_get, reinterpret_cast<void*>(bind_to)},
    {Py_tp_members, members},
    {0, nullptr}};

PyType_Spec spec = {"anima._native.BindOperation", sizeof(BindObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                    slots};

}  // namespace

void create_bind_operation_type() {
  bind_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
  eager_name = checked(PyUnicode_InternFromString("eager"));
}

PyObject* make_bind_operation() {
  PyObject* object = checked(bind_type->tp_alloc(bind_type, 0));
  reinterpret_cast<BindObject*>(object)->vectorcall = vectorcall;
  return object;
}

bool is_bind_operation(PyObject* object) { return Py_TYPE(object) == bind_type; }

}  // namespace anima
