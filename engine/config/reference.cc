#include <fmt/format.h>

#include "engine/config/keys.h"
#include "engine/config/parse.h"

namespace hako::config {

namespace {

std::string details(const Key& key) {
    std::string text = fmt::format("default: {}", default_of(key));
    if (!key.unit.empty()) {
        text += fmt::format("; unit: {}", key.unit);
    }
    if (const std::string range = range_of(key); !range.empty()) {
        text += fmt::format("; range: {}", range);
    }
    return text;
}

std::string escape_toml(const std::string& text) {
    std::string escaped;
    for (const char character : text) {
        const auto byte = static_cast<unsigned char>(character);
        if (character == '"' || character == '\\') {
            escaped += '\\';
            escaped += character;
        } else if (byte < 0x20 || byte == 0x7f) {
            escaped += fmt::format("\\u{:04x}", byte);
        } else {
            escaped += character;
        }
    }
    return escaped;
}

std::string toml_value(const Key& key, const Settings& settings) {
    const std::string text = text_of(key, settings);
    if (std::holds_alternative<std::string Settings::*>(key.field) || text == "none") {
        return fmt::format("\"{}\"", escape_toml(text));
    }
    return key.is_octal ? fmt::format("0o{}", text) : text;
}

std::string escape_cell(std::string text) {
    for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
        text.insert(at, "\\");
    }
    return text;
}

constexpr std::string_view kIntroduction = R"(# Configuration of hakod

<!-- Made by `hakod --print-config-reference` from engine/config/key_table.cc: change that. -->

Settings come from, the later over the earlier: the defaults below, a TOML file (`--config FILE`;
`/etc/hako/hako.toml` if it exists and none is named), the command line. A key `some_key` of the
file is the flag `--some-key`. Unknown keys and flags are errors, as are values out of range; the
message names the field, the value and what is allowed, for a file also the line.

`hakod --print-config` prints the settings in force as such a file, `hakod --check-config` only
checks them.
)";

}  // namespace

std::string reference_markdown() {
    std::string text(kIntroduction);
    for (const Key& key : keys()) {
        if (!key.section.empty()) {
            text += fmt::format(
                "\n## {}\n\n| key | type | default | unit | range | meaning |\n"
                "|---|---|---|---|---|---|\n",
                key.section
            );
        }
        text += fmt::format(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            key.name,
            type_of(key),
            default_of(key),
            key.unit,
            escape_cell(range_of(key)),
            key.help
        );
    }
    return text;
}

std::string to_toml(const Settings& settings) {
    std::string text;
    for (const Key& key : keys()) {
        if (!key.section.empty()) {
            text += fmt::format("{}## {}\n", text.empty() ? "" : "\n", key.section);
        }
        text += fmt::format("\n# {}\n# {}\n", key.help, details(key));
        text += fmt::format("{} = {}\n", key.name, toml_value(key, settings));
    }
    return text;
}

std::string help_line(const Key& key) {
    return fmt::format("{} ({})", key.help, details(key));
}

}  // namespace hako::config
