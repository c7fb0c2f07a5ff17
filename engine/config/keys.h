#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "engine/config/settings.h"

// The one table of settings: flags, TOML keys, help, reference and validation come from it.
namespace hako::config {

using Field = std::variant<
    bool Settings::*,
    std::string Settings::*,
    std::uint32_t Settings::*,
    std::uint64_t Settings::*,
    double Settings::*,
    std::optional<std::uint32_t> Settings::*>;

struct Key {
    std::string_view section;  // heading in help and reference; empty: same as the one before
    std::string_view name;     // as in TOML; the flag has `-` for `_`
    Field field;
    std::string_view fallback;  // the default's text; empty: derived, see `derived`
    std::string_view derived;   // how the default comes about, for people
    std::string_view unit;
    double min = 0;
    double max = 0;
    std::string_view choices;  // words allowed, separated by `|`
    bool is_octal = false;
    std::string_view help;
};

[[nodiscard]] std::span<const Key> keys();
[[nodiscard]] const Key* find_key(std::string_view name);

/// `--billing-increment-ms`.
[[nodiscard]] std::string flag_of(const Key& key);
/// `string`, `boolean`, `integer`, `number`, `octal`.
[[nodiscard]] std::string_view type_of(const Key& key);
/// `1..1000`, `error|warn|info|debug`, or empty if anything goes.
[[nodiscard]] std::string range_of(const Key& key);
/// The default for people: its text, or how it is derived.
[[nodiscard]] std::string default_of(const Key& key);

/// Sets one field from text. Nothing if it worked; else a sentence with value and range.
[[nodiscard]] std::optional<std::string> assign(
    const Key& key, std::string_view text, Settings& settings
);
/// The field's value as text, the reverse of `assign`.
[[nodiscard]] std::string text_of(const Key& key, const Settings& settings);

/// Help with default, unit and range, for --help.
[[nodiscard]] std::string help_line(const Key& key);

}  // namespace hako::config
