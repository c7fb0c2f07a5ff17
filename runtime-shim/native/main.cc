// hako-zygote: the process that sandboxes for native functions are cloned from.
#include <cstdlib>

#include "runtime-shim/native/native_runtime.h"
#include "sandbox/zygote.h"

namespace {

void run_worker(hako::spawner::RuntimeKind kind) {
    // exit, not _exit: destructors and atexit functions of the user's shared object run.
    std::exit(hako::shim::run_native_worker(kind));
}

}  // namespace

int main(int argc, char** argv) {
    return hako::sandbox::run_zygote(argc, argv, {.runtime_main = run_worker});
}
