// hako-zygote-python: boots the interpreter once; sandboxes for Python functions are cloned from
// it.
#include <unistd.h>

#include "runtime-shim/python/python_runtime.h"
#include "sandbox/zygote.h"

namespace {

void run_worker(hako::spawner::RuntimeKind) {
    // Not exit(): finalising the interpreter would touch every page, and nobody waits for it. What
    // the function printed has been flushed with its last answer.
    _exit(hako::shim::run_python_worker());
}

}  // namespace

int main(int argc, char** argv) {
    if (!hako::shim::boot_python()) {
        return 1;
    }
    return hako::sandbox::run_zygote(
        argc,
        argv,
        {.before_clone = hako::shim::before_python_clone,
         .after_clone_in_zygote = hako::shim::after_python_clone_in_zygote,
         .after_clone_in_worker = hako::shim::after_python_clone_in_worker,
         .runtime_main = run_worker}
    );
}
