#include <gtest/gtest.h>

#include "runtime-shim/python/python_runtime.h"

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (!hako::shim::boot_python()) {
        return 1;
    }
    return RUN_ALL_TESTS();
}
