#include "tools/hako/output.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include <fmt/format.h>

namespace hako::cli {
namespace {

bool has_color(const Context& context, int fd) {
    const char* refused = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return !context.no_color && (refused == nullptr || *refused == '\0') && ::isatty(fd) == 1 &&
           (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
}

/// Columns that `text` takes: code points, as names and descriptions may be UTF-8.
std::size_t width_of(std::string_view text) {
    std::size_t width = 0;
    for (const char byte : text) {
        width += (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U ? 1 : 0;
    }
    return width;
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
    cells.resize(columns_.size());
    rows_.push_back(std::move(cells));
}

void Table::print(const Context& context) const {
    std::vector<std::size_t> widths;
    std::vector<std::string> titles;
    for (std::size_t column = 0; column < columns_.size(); ++column) {
        std::size_t width = width_of(columns_[column].title);
        for (const auto& row : rows_) {
            width = std::max(width, width_of(row[column]));
        }
        widths.push_back(width);
        titles.push_back(columns_[column].title);
    }
    std::string out;
    const auto append_row = [this, &widths, &out](const std::vector<std::string>& cells) {
        std::string line;
        for (std::size_t column = 0; column < cells.size(); ++column) {
            const std::string gap(widths[column] - width_of(cells[column]), ' ');
            line += column == 0 ? "" : "  ";
            line +=
                columns_[column].align == Align::kRight ? gap + cells[column] : cells[column] + gap;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line;
    };
    const bool color = has_color(context, STDOUT_FILENO);
    out += color ? "\x1b[1m" : "";
    append_row(titles);
    out += color ? "\x1b[0m\n" : "\n";
    for (const auto& row : rows_) {
        append_row(row);
        out += '\n';
    }
    write_out(out);
}

void write_out(std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            throw Failure(Exit::kUsage, fmt::format("standard output: {}", std::strerror(errno)));
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

void print_error(const Context& context, std::string_view text) {
    const bool color = has_color(context, STDERR_FILENO);
    fmt::print(stderr, "{}hako:{} {}\n", color ? "\x1b[31m" : "", color ? "\x1b[0m" : "", text);
}

bool out_has_color(const Context& context) {
    return has_color(context, STDOUT_FILENO);
}

std::string bytes_text(std::uint64_t bytes) {
    static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        return fmt::format("{} B", bytes);
    }
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string milliseconds_text(std::uint64_t duration_us) {
    return fmt::format("{}.{:03} ms", duration_us / 1000, duration_us % 1000);
}

}  // namespace hako::cli
