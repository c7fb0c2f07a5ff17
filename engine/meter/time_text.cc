#include "engine/meter/time_text.h"

#include <chrono>

namespace hako::meter {
namespace {

constexpr std::int64_t kDayS = 86400;

constexpr std::int64_t floor_div(std::int64_t value, std::int64_t by) {
    return value / by - (value % by < 0 ? 1 : 0);
}

/// Writes `value` as exactly `digits` decimal digits.
void write_digits(char* out, std::int64_t value, std::size_t digits) noexcept {
    for (std::size_t i = digits; i > 0; --i) {
        out[i - 1] = static_cast<char>('0' + value % 10);
        value /= 10;
    }
}

std::chrono::year_month_day civil(std::int64_t day) noexcept {
    return std::chrono::sys_days(std::chrono::days(day));
}

int parse_digits(std::string_view text) noexcept {
    int value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    return value;
}

}  // namespace

std::int64_t utc_day(std::int64_t wall_us) noexcept {
    return floor_div(wall_us, kDayS * 1'000'000);
}

void write_date(char* out, std::int64_t day, char separator) noexcept {
    const std::chrono::year_month_day date = civil(day);
    write_digits(out, static_cast<int>(date.year()), 4);
    out[4] = separator;
    write_digits(out + 5, static_cast<unsigned>(date.month()), 2);
    out[7] = separator;
    write_digits(out + 8, static_cast<unsigned>(date.day()), 2);
}

std::int64_t parse_date(std::string_view text) noexcept {
    if (text.size() != kDateBytes || text[4] != '-' || text[7] != '-') {
        return -1;
    }
    const int year = parse_digits(text.substr(0, 4));
    const int month = parse_digits(text.substr(5, 2));
    const int day = parse_digits(text.substr(8, 2));
    if (year < 1970 || month < 0 || day < 0) {
        return -1;
    }
    const std::chrono::year_month_day date(
        std::chrono::year(year),
        std::chrono::month(static_cast<unsigned>(month)),
        std::chrono::day(static_cast<unsigned>(day))
    );
    return date.ok() ? std::chrono::sys_days(date).time_since_epoch().count() : -1;
}

std::string_view IsoClock::format(std::int64_t wall_us) noexcept {
    const std::int64_t second = floor_div(wall_us, 1'000'000);
    if (second != second_) {
        const std::int64_t day = floor_div(second, kDayS);
        const std::int64_t in_day = second - day * kDayS;
        char* out = text_.data();
        write_date(out, day, '-');
        out[10] = 'T';
        write_digits(out + 11, in_day / 3600, 2);
        out[13] = ':';
        write_digits(out + 14, in_day / 60 % 60, 2);
        out[16] = ':';
        write_digits(out + 17, in_day % 60, 2);
        out[19] = '.';
        out[23] = 'Z';
        second_ = second;
    }
    write_digits(text_.data() + 20, (wall_us - second * 1'000'000) / 1000, 3);
    return {text_.data(), text_.size()};
}

}  // namespace hako::meter
