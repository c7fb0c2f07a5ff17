#include <array>
#include <sstream>

#include "engine/base/ensure.h"
#include "engine/config/parse.h"
#include "tests/fuzz/fuzz.h"

// The settings file. Whatever is accepted must be accepted again from `--print-config`, and print
// the same.

namespace {

using namespace hako;

struct Outcome {
    int exit_code = 0;
    std::string out;
    std::string err;
};

Outcome print_config(std::string_view content) {
    static const std::string path = fuzz::scratch_dir() + "/hako.toml";
    fuzz::write_file(path, content);
    std::ostringstream out;
    std::ostringstream err;
    const std::array<const char*, 4> argv = {"hakod", "--config", path.c_str(), "--print-config"};
    const config::ParseOutcome parsed = config::parse(
        argv.size(),
        argv.data(),
        {.out = out, .err = err, .system_file = "", .binary_dir = "/", .home = "/home/someone"}
    );
    ENSURE(parsed.exit_code.has_value(), "printing ends the process");
    return {.exit_code = *parsed.exit_code, .out = out.str(), .err = err.str()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const Outcome first = print_config({reinterpret_cast<const char*>(data), bytes});
    if (first.exit_code != 0) {
        ENSURE(first.exit_code == config::kExitUsage, "a bad file is a usage error");
        ENSURE(first.err.starts_with("hakod: "), "a refusal says why");
        return 0;
    }
    const Outcome second = print_config(first.out);
    ENSURE(second.exit_code == 0, "what is printed can be read");
    ENSURE(second.out == first.out, "and prints the same");
    return 0;
}
