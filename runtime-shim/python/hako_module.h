#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

// `_hako`, the built-in module through which runtime.py speaks to the channel.
namespace hako::shim {

/// The module's init function, for PyImport_AppendInittab before the interpreter starts.
PyObject* make_hako_module();

}  // namespace hako::shim
