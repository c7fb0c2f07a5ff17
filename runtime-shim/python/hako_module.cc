#include "runtime-shim/python/hako_module.h"

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "hako/shim.h"

#include "runtime-shim/native/environment.h"

namespace hako::shim {
namespace {

// One worker, one channel: the module is built in and never unloaded.
hako_shim channel_of_worker;
hako_stream stream_of_answer;

PyObject* raise_errno(int error) {
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

bool require_attached() {
    if (channel_of_worker.channel != nullptr) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "_hako is not attached to a channel");
    return false;
}

PyObject* attach(PyObject*, PyObject*) {
    const int error = hako_shim_attach(&channel_of_worker);
    if (error != 0) {
        return raise_errno(error);
    }
    Py_RETURN_NONE;
}

/// Waits with the GIL released, so that threads of the function run on (as long as the sandbox is
/// not frozen), and runs Python signal handlers between two sleeps.
PyObject* wait(PyObject*, PyObject*) {
    if (!require_attached()) {
        return nullptr;
    }
    while (hako_shim_pending(&channel_of_worker) == 0) {
        Py_BEGIN_ALLOW_THREADS;
        hako_shim_sleep(&channel_of_worker);
        Py_END_ALLOW_THREADS;
        if (PyErr_CheckSignals() != 0) {
            return nullptr;
        }
    }
    return PyLong_FromUnsignedLong(channel_of_worker.channel->request_kind);
}

PyObject* await_code(PyObject*, PyObject*) {
    if (!require_attached()) {
        return nullptr;
    }
    Py_BEGIN_ALLOW_THREADS;
    hako_shim_await_code(&channel_of_worker);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// Makes the block of INIT the C environment and answers it as {bytes: bytes}, for os.environ.
PyObject* take_environment(PyObject*, PyObject*) {
    if (!require_attached()) {
        return nullptr;
    }
    const int error = replace_environment(hako_shim_event(&channel_of_worker));
    if (error != 0) {
        return raise_errno(error);
    }
    PyObject* const variables = PyDict_New();
    for (char** entry = environ; variables != nullptr && *entry != nullptr; ++entry) {
        const char* const equals = std::strchr(*entry, '=');
        PyObject* const name = PyBytes_FromStringAndSize(*entry, equals - *entry);
        PyObject* const value = PyBytes_FromString(equals + 1);
        const bool stored =
            name != nullptr && value != nullptr && PyDict_SetItem(variables, name, value) == 0;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (!stored) {
            Py_DECREF(variables);
            return nullptr;
        }
    }
    return variables;
}

/// (request id, function ARN, trace id, client context, identity, deadline in monotonic us)
PyObject* invocation(PyObject*, PyObject*) {
    if (!require_attached()) {
        return nullptr;
    }
    const hako_channel& channel = *channel_of_worker.channel;
    const hako_view client_context = hako_shim_client_context(&channel_of_worker);
    return Py_BuildValue(
        "(sssy#sL)",
        channel.request_id,
        channel.invoked_function_arn,
        channel.trace_id,
        client_context.data,
        static_cast<Py_ssize_t>(client_context.bytes),
        channel.cognito_identity,
        static_cast<long long>(channel.deadline_monotonic_us)
    );
}

/// The event as str, decoded straight out of the channel.
PyObject* event(PyObject*, PyObject*) {
    if (!require_attached()) {
        return nullptr;
    }
    const hako_view view = hako_shim_event(&channel_of_worker);
    // As json.loads() decodes bytes.
    return PyUnicode_DecodeUTF8(view.data, static_cast<Py_ssize_t>(view.bytes), "surrogatepass");
}

/// The bytes of a str (as UTF-8) or a bytes object; nothing with an exception set.
bool view_of(PyObject* object, hako_view& view) {
    Py_ssize_t bytes = 0;
    if (PyUnicode_Check(object)) {
        view.data = PyUnicode_AsUTF8AndSize(object, &bytes);
    } else {
        char* data = nullptr;
        view.data = PyBytes_AsStringAndSize(object, &data, &bytes) == 0 ? data : nullptr;
    }
    view.bytes = static_cast<std::size_t>(bytes);
    return view.data != nullptr;
}

/// open_stream(content_type): False if the answer must come whole.
PyObject* open_stream(PyObject*, PyObject* type) {
    hako_view view = {};
    if (!require_attached() || !view_of(type, view)) {
        return nullptr;
    }
    const int error = hako_stream_open(&stream_of_answer, &channel_of_worker, view.data);
    if (error != 0 && error != ENOTSUP) {
        return raise_errno(error);
    }
    return PyBool_FromLong(error == 0);
}

/// put_stream(part): waits while the caller is slow, with the GIL released and running signal
/// handlers. OSError with EFBIG if the answer becomes too large.
PyObject* put_stream(PyObject*, PyObject* part) {
    hako_view view = {};
    if (!require_attached() || !view_of(part, view)) {
        return nullptr;
    }
    while (view.bytes != 0) {
        std::size_t room = 0;
        char* const place = hako_stream_look(&stream_of_answer, &room);
        if (room == 0) {
            Py_BEGIN_ALLOW_THREADS;
            hako_stream_sleep(&stream_of_answer);
            Py_END_ALLOW_THREADS;
            if (PyErr_CheckSignals() != 0) {
                return nullptr;
            }
            continue;
        }
        const std::size_t bytes = room < view.bytes ? room : view.bytes;
        std::memcpy(place, view.data, bytes);
        const int error = hako_stream_commit(&stream_of_answer, bytes);
        if (error != 0) {
            return raise_errno(error);
        }
        view.data += bytes;
        view.bytes -= bytes;
    }
    Py_RETURN_NONE;
}

/// respond(kind, payload): payload is str (sent as UTF-8) or bytes. Nothing is sent if it raises.
PyObject* respond(PyObject*, PyObject* const* arguments, Py_ssize_t arguments_count) {
    if (!require_attached()) {
        return nullptr;
    }
    if (arguments_count != 2) {
        PyErr_SetString(PyExc_TypeError, "respond() takes a kind and a payload");
        return nullptr;
    }
    const unsigned long kind = PyLong_AsUnsignedLong(arguments[0]);
    if (PyErr_Occurred() != nullptr) {
        return nullptr;
    }
    hako_view view = {};
    if (!view_of(arguments[1], view)) {
        return nullptr;
    }
    std::fflush(stdout);  // what C extensions have printed
    int error = 0;
    if (kind == HAKO_RESPONSE_STREAM_ERROR) {
        const std::size_t bytes =
            view.bytes < HAKO_STREAM_ERROR_BYTES_MAX ? view.bytes : HAKO_STREAM_ERROR_BYTES_MAX;
        std::memcpy(hako_stream_error_buffer(&stream_of_answer), view.data, bytes);
        error = hako_shim_respond(&channel_of_worker, HAKO_RESPONSE_STREAM_ERROR, bytes);
    } else {
        error = hako_shim_answer(
            &channel_of_worker, static_cast<std::uint32_t>(kind), view.data, view.bytes
        );
    }
    if (error != 0) {
        return raise_errno(error);
    }
    Py_RETURN_NONE;
}

constexpr int kScanDepthMax = 100;  // deeper values are left to the encoder

/// Is there a tuple with field names anywhere in `value`? AWS's encoder makes objects of them, the
/// standard library's C encoder makes arrays. -1: an exception is set.
int find_namedtuple(PyObject* value, int depth) {
    if (depth > kScanDepthMax) {
        return 0;
    }
    if (PyDict_Check(value)) {
        Py_ssize_t position = 0;
        PyObject* item = nullptr;
        int found = 0;
        while (found == 0 && PyDict_Next(value, &position, nullptr, &item) != 0) {
            found = find_namedtuple(item, depth + 1);
        }
        return found;
    }
    const bool is_tuple = PyTuple_Check(value);
    if (is_tuple && !PyTuple_CheckExact(value)) {
        PyObject* const method = PyObject_GetAttrString(value, "_asdict");
        if (method != nullptr) {
            Py_DECREF(method);
            return 1;
        }
        if (PyErr_ExceptionMatches(PyExc_AttributeError) == 0) {
            return -1;
        }
        PyErr_Clear();
    }
    if (!is_tuple && !PyList_Check(value)) {
        return 0;
    }
    int found = 0;
    for (Py_ssize_t i = 0; found == 0 && i < PySequence_Fast_GET_SIZE(value); ++i) {
        found = find_namedtuple(PySequence_Fast_GET_ITEM(value, i), depth + 1);
    }
    return found;
}

PyObject* has_namedtuple(PyObject*, PyObject* value) {
    const int found = find_namedtuple(value, 0);
    return found < 0 ? nullptr : PyBool_FromLong(found);
}

PyCFunction as_fast_function(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function));
}

}  // namespace

PyObject* make_hako_module() {
    static PyMethodDef methods[] = {
        {"attach", attach, METH_NOARGS, nullptr},
        {"wait", wait, METH_NOARGS, nullptr},
        {"await_code", await_code, METH_NOARGS, nullptr},
        {"take_environment", take_environment, METH_NOARGS, nullptr},
        {"invocation", invocation, METH_NOARGS, nullptr},
        {"event", event, METH_NOARGS, nullptr},
        {"respond", as_fast_function(respond), METH_FASTCALL, nullptr},
        {"open_stream", open_stream, METH_O, nullptr},
        {"put_stream", put_stream, METH_O, nullptr},
        {"has_namedtuple", has_namedtuple, METH_O, nullptr},
        {nullptr, nullptr, 0, nullptr},
    };
    static PyModuleDef definition = {
        PyModuleDef_HEAD_INIT, "_hako", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr
    };
    PyObject* const module = PyModule_Create(&definition);
    if (module == nullptr) {
        return nullptr;
    }
    const bool named =
        PyModule_AddIntConstant(module, "INIT", HAKO_REQUEST_INIT) == 0 &&
        PyModule_AddIntConstant(module, "INVOKE", HAKO_REQUEST_INVOKE) == 0 &&
        PyModule_AddIntConstant(module, "SHUTDOWN", HAKO_REQUEST_SHUTDOWN) == 0 &&
        PyModule_AddIntConstant(module, "READY", HAKO_RESPONSE_READY) == 0 &&
        PyModule_AddIntConstant(module, "INIT_ERROR", HAKO_RESPONSE_INIT_ERROR) == 0 &&
        PyModule_AddIntConstant(module, "RESULT", HAKO_RESPONSE_RESULT) == 0 &&
        PyModule_AddIntConstant(module, "ERROR", HAKO_RESPONSE_ERROR) == 0 &&
        PyModule_AddIntConstant(module, "TOO_LARGE", HAKO_RESPONSE_TOO_LARGE) == 0 &&
        PyModule_AddIntConstant(module, "STREAM_END", HAKO_RESPONSE_STREAM_END) == 0 &&
        PyModule_AddIntConstant(module, "STREAM_ERROR", HAKO_RESPONSE_STREAM_ERROR) == 0;
    if (!named) {
        Py_DECREF(module);
        return nullptr;
    }
    return module;
}

}  // namespace hako::shim
