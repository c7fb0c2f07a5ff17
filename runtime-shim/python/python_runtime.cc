#include "runtime-shim/python/python_runtime.h"

// Python.h wants to be first of all headers that are not ours.
#include "runtime-shim/python/hako_module.h"

#include <csignal>
#include <cstdio>

#include <fcntl.h>
#include <malloc.h>

#include "runtime_source.h"

namespace hako::shim {
namespace {

// Imported module that serves; lives as long as the process.
PyObject* runtime_module = nullptr;

/// Python makes no sys.stdout for a descriptor that is closed, and a worker has all three.
bool ensure_standard_descriptors() {
    for (int fd = 0; fd <= 2; ++fd) {
        // The lowest free number is `fd`, because those below it are open.
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) {
            return false;
        }
    }
    return true;
}

PyStatus configure(PyConfig& config) {
    PyConfig_InitIsolatedConfig(&config);
    // Isolated from the zygote's own environment, but without the flags' side effects: children
    // that a function starts with sys.flags would be isolated as well.
    config.isolated = 0;
    config.safe_path = 0;
    config.site_import = 1;
    config.write_bytecode = 0;  // the code is read-only
    config.install_signal_handlers = 0;
    PyStatus status = PyConfig_SetString(&config, &config.program_name, L"/usr/bin/python3");
    if (PyStatus_Exception(status) != 0) {
        return status;
    }
    status = PyConfig_SetString(&config, &config.executable, L"/usr/bin/python3");
    if (PyStatus_Exception(status) != 0) {
        return status;
    }
    return Py_InitializeFromConfig(&config);
}

bool start_interpreter() {
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;  // there are no locales in a sandbox
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status) == 0) {
        if (PyImport_AppendInittab("_hako", make_hako_module) != 0) {
            std::fputs("hako: no memory for the module table\n", stderr);
            return false;
        }
        PyConfig config;
        status = configure(config);
        PyConfig_Clear(&config);
    }
    if (PyStatus_Exception(status) != 0) {
        std::fprintf(
            stderr,
            "hako: cannot start Python: %s\n",
            status.err_msg != nullptr ? status.err_msg : "no reason given"
        );
        return false;
    }
    return true;
}

PyObject* import_runtime() {
    PyObject* const code = Py_CompileString(kRuntimeSource, "<hako>", Py_file_input);
    if (code == nullptr) {
        return nullptr;
    }
    PyObject* const module = PyImport_ExecCodeModule("_hako_runtime", code);
    Py_DECREF(code);
    return module;
}

/// Moves everything there is to the permanent generation: a collection in a worker then does not
/// touch, and so copy, the zygote's pages.
bool freeze_garbage_collector() {
    PyObject* const collector = PyImport_ImportModule("gc");
    if (collector == nullptr) {
        return false;
    }
    bool done = false;
    PyObject* const collected = PyObject_CallMethod(collector, "collect", nullptr);
    if (collected != nullptr) {
        PyObject* const frozen = PyObject_CallMethod(collector, "freeze", nullptr);
        done = frozen != nullptr;
        Py_XDECREF(frozen);
    }
    Py_XDECREF(collected);
    Py_DECREF(collector);
    return done;
}

}  // namespace

bool boot_python() noexcept {
    // As python3 does; a function that prints into a closed log pipe gets an exception.
    std::signal(SIGPIPE, SIG_IGN);
    if (!ensure_standard_descriptors() || !start_interpreter()) {
        return false;
    }
    runtime_module = import_runtime();
    if (runtime_module == nullptr || !freeze_garbage_collector()) {
        PyErr_Print();
        return false;
    }
    malloc_trim(0);
    return true;
}

void before_python_clone() noexcept {
    PyOS_BeforeFork();
}

void after_python_clone_in_zygote() noexcept {
    PyOS_AfterFork_Parent();
}

void after_python_clone_in_worker() noexcept {
    PyOS_AfterFork_Child();
}

int run_python_worker() noexcept {
    PyObject* const status = PyObject_CallMethod(runtime_module, "serve", nullptr);
    if (status == nullptr) {
        PyErr_Print();  // ends the process with the right status if it is SystemExit
        std::fflush(stdout);
        return 1;
    }
    const long number = PyLong_AsLong(status);
    Py_DECREF(status);
    return static_cast<int>(number);
}

}  // namespace hako::shim
