#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/hako/context.h"

namespace hako::cli {

enum class Align : bool { kLeft, kRight };

/// Rows under a heading, as wide as they need; bold heading on a colour terminal.
class Table {
public:
    struct Column {
        std::string title;
        Align align = Align::kLeft;
    };
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    /// One cell per column.
    void add(std::vector<std::string> cells);
    void print(const Context& context) const;

private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

/// Writes all of `text` to standard output; Failure if that cannot be done (a full disk).
void write_out(std::string_view text);
/// One line to standard error, in front of it "hako: " (red on a colour terminal).
void print_error(const Context& context, std::string_view text);

/// Whether standard output may be coloured: a terminal, not --no-color, not NO_COLOR.
[[nodiscard]] bool out_has_color(const Context& context);

/// "812 B", "1.2 KiB", "50.0 MiB".
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);
/// "1.234 ms".
[[nodiscard]] std::string milliseconds_text(std::uint64_t duration_us);

}  // namespace hako::cli
