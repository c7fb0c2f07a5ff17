// The attempts without a sandbox, for the controls of tests/escape/run: one outcome per line.
#include <cstdio>

#include "tests/escape/attempts.h"

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string outcome = hako::escape::try_attempt(argv[i]);
        if (std::puts(outcome.c_str()) < 0) {
            return 1;
        }
    }
    return 0;
}
