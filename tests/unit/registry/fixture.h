#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "engine/registry/control_service.h"
#include "engine/registry/state_dir.h"

namespace hako::registry {

/// A directory that goes with the test, read-only packages and all.
class TempDir {
public:
    TempDir();
    explicit TempDir(std::string base);
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
};

/// A folder in memory, where syncing costs nothing, if the machine has one.
[[nodiscard]] std::string memory_base();

/// Descriptors this process has open.
[[nodiscard]] std::size_t open_fds_count();

/// Runs the work at once; `before` first, to act in the place of another fiber.
struct InlineRunner : BlockingRunner {
    std::function<void()> before;
    void run(std::move_only_function<void()>&& work) override {
        if (before) {
            const auto once = std::exchange(before, nullptr);
            once();
        }
        work();
    }
};

/// All parts on one state directory, as main() puts them together.
class Engine {
public:
    explicit Engine(const std::string& state_path, ControlOptions options = {});

    ControlAnswer call(
        std::string_view operation, std::string_view json, std::string_view zip = {}
    );
    /// Creates a Python function; fails the test if that fails.
    ControlAnswer create(const std::string& name, std::string_view zip);

    InlineRunner runner;
    StateDir state;
    std::unique_ptr<Store> store;
    std::unique_ptr<CodeStore> code;
    std::unique_ptr<Registry> registry;
    LoadReport report;
    std::unique_ptr<ControlService> control;
};

/// A member of a JSON text by pointer (`/Configuration/Handler`) as text; `(none)` if not there.
[[nodiscard]] std::string json_at(std::string_view json, std::string_view pointer);

struct ZipSource {
    std::string name;
    std::string content;
    std::uint32_t mode = 0100644;  // Unix
    std::uint8_t host = 3;
    std::uint16_t flags = 0;
    std::optional<std::uint32_t> claimed_bytes;  // a header that lies
};
/// The bytes of a zip, each entry deflated.
[[nodiscard]] std::string make_zip(const std::vector<ZipSource>& sources);
/// A package with `handler.py`.
[[nodiscard]] std::string python_zip(std::string_view body = "def handle(e, c): return e\n");

[[nodiscard]] std::span<const std::byte> bytes_of(std::string_view text);

/// Relative paths of everything below `path`, sorted; directories end with a slash.
[[nodiscard]] std::vector<std::string> tree_of(const std::string& path);

}  // namespace hako::registry
