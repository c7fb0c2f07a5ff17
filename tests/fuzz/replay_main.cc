#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

// Feeds every file of a corpus to a fuzz target, without libFuzzer: `replay_NAME
// DIRECTORY|FILE...`. Prints TAP, one case per file. A target that finds something aborts, so the
// plan stays unfulfilled and the name of the file in hand is the last line.

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_of(int argc, char** argv) {
    std::vector<fs::path> files;
    for (int i = 1; i < argc; ++i) {
        if (fs::is_directory(argv[i])) {
            for (const fs::directory_entry& entry : fs::directory_iterator(argv[i])) {
                files.push_back(entry.path());
            }
        } else {
            files.emplace_back(argv[i]);
        }
    }
    std::ranges::sort(files);
    return files;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<fs::path> files = files_of(argc, argv);
    if (files.empty()) {
        std::fputs("Bail out! the corpus is empty\n", stdout);
        return 1;
    }
    // Beside the corpus: what no file need say.
    std::printf("1..%zu\n", files.size() + 1);
    (void)LLVMFuzzerTestOneInput(nullptr, 0);  // libFuzzer's protocol: always 0
    std::puts("ok 1 - no bytes at all");
    int number = 1;
    for (const fs::path& path : files) {
        ++number;
        std::ifstream file(path, std::ios::binary);
        // A copy of exactly the input's size: a sanitizer then sees a read behind its end.
        const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
        if (!file) {
            std::printf("not ok %d - %s cannot be read\n", number, path.c_str());
            return 1;
        }
        std::printf("# %s\n", path.filename().c_str());
        std::fflush(stdout);
        (void
        )LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
        std::printf("ok %d - %s\n", number, path.filename().c_str());
    }
    return 0;
}
