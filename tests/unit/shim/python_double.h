#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/shim/engine_double.h"

namespace hako::shim::test {

/// A Python function in a temporary directory, served by a worker cloned from this process, which
/// has booted the interpreter as the zygote does (python_test_main.cc).
class PythonFunction : public testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;

    /// Writes a file of the package.
    void write_file(const std::string& name, const std::string& content);
    /// Clones a worker and posts INIT with `handler`; further variables replace or add.
    [[nodiscard]] Answer init(
        const std::string& handler, const EngineDouble::Environment& variables = {}
    );
    /// The same with another worker than `engine`'s.
    [[nodiscard]] Answer init_in(
        EngineDouble& other,
        const std::string& handler,
        const EngineDouble::Environment& variables = {}
    );
    /// `code` becomes app.py; expects app.handler to become ready without a word.
    void start(const std::string& code, const EngineDouble::Environment& variables = {});
    /// Expects init to fail with exactly this payload, and exit status 1.
    void expect_init_error(const std::string& handler, const std::string& payload);
    void expect_result(std::string_view event, const std::string& payload);
    void expect_error(std::string_view event, const std::string& payload);
    [[nodiscard]] std::string path(const std::string& name) const { return root + "/" + name; }

    EngineDouble engine;
    std::string root;
};

inline constexpr const char* kRequestId = "8f5d0bb1-6b2f-4c0e-9d2c-0123456789ab";

}  // namespace hako::shim::test
