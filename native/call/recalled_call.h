// anima._native.Recalled: functions that make small arrays of plain settings, which remember what they made.
//
// Invariant: what is remembered are bytes, and each call gets an array of memory of its own; so nothing tells
// an array that was remembered from one that was made. A function that is remembered depends on its arguments
// and the options in force alone, and is remembered only for arguments that cannot change.
#pragma once

#include <Python.h>

namespace anima {

void create_recalled_type();  // once
extern PyTypeObject* recalled_type;
// Forgets all that was remembered.
void forget_recalled();

}  // namespace anima
