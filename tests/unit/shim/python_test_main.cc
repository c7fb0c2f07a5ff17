#include <gtest/gtest.h>

#include "runtime-shim/python/python_runtime.h"

// For builds with AddressSanitizer: CPython keeps much of its memory until the process is gone, and
// a leak report in a worker would change its exit status and its log.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
    return "detect_leaks=0";
}

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (!hako::shim::boot_python()) {
        return 1;
    }
    return RUN_ALL_TESTS();
}
