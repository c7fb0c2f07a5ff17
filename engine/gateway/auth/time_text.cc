#include "engine/gateway/auth/time_text.h"

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace hako::gateway::auth {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

struct Parts {
    int year = 0;
    unsigned month = 0;
    unsigned day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
};

std::optional<int> digits(std::string_view text) {
    int number = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') {
            return std::nullopt;
        }
        number = number * 10 + (digit - '0');
    }
    return number;
}

std::optional<std::int64_t> to_unix(const Parts& parts) {
    const std::chrono::year_month_day date{
        std::chrono::year(parts.year), std::chrono::month(parts.month), std::chrono::day(parts.day)
    };
    // 60: a leap second, which stands for the first of the next minute.
    if (!date.ok() || parts.hour > 23 || parts.minute > 59 || parts.second > 60) {
        return std::nullopt;
    }
    const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
    return days * 86'400 + parts.hour * 3'600 + parts.minute * 60 + parts.second;
}

/// hh, mm, ss that stand at these places; false if one is not a number.
bool read_clock(
    std::string_view hour, std::string_view minute, std::string_view second, Parts& parts
) {
    const auto h = digits(hour);
    const auto m = digits(minute);
    const auto s = digits(second);
    if (!h || !m || !s) {
        return false;
    }
    parts.hour = *h;
    parts.minute = *m;
    parts.second = *s;
    return true;
}

}  // namespace

BasicTime to_basic_time(std::int64_t unix_s) noexcept {
    const std::int64_t days = unix_s >= 0 ? unix_s / 86'400 : (unix_s - 86'399) / 86'400;
    const auto rest = static_cast<unsigned>(unix_s - days * 86'400);
    const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
    BasicTime text;
    std::size_t at = 0;
    const auto put = [&text, &at](unsigned number, std::size_t width) {
        for (std::size_t place = width; place > 0; --place) {
            text[at + place - 1] = static_cast<char>('0' + number % 10);
            number /= 10;
        }
        at += width;
    };
    put(static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999)), 4);
    put(static_cast<unsigned>(date.month()), 2);
    put(static_cast<unsigned>(date.day()), 2);
    text[at++] = 'T';
    put(rest / 3'600, 2);
    put(rest / 60 % 60, 2);
    put(rest % 60, 2);
    text[at] = 'Z';
    return text;
}

std::optional<std::int64_t> from_basic_time(std::string_view text) noexcept {
    if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') {
        return std::nullopt;
    }
    const auto year = digits(text.substr(0, 4));
    const auto month = digits(text.substr(4, 2));
    const auto day = digits(text.substr(6, 2));
    Parts parts;
    if (!year || !month || !day ||
        !read_clock(text.substr(9, 2), text.substr(11, 2), text.substr(13, 2), parts)) {
        return std::nullopt;
    }
    parts.year = *year;
    parts.month = static_cast<unsigned>(*month);
    parts.day = static_cast<unsigned>(*day);
    return to_unix(parts);
}

std::optional<std::int64_t> from_http_date(std::string_view text) noexcept {
    // Mon, 09 Sep 2011 23:36:00 GMT
    if (text.size() != 29 || text.substr(3, 2) != ", " || text[7] != ' ' || text[11] != ' ' ||
        text[16] != ' ' || text[19] != ':' || text[22] != ':' || text.substr(25) != " GMT") {
        return std::nullopt;
    }
    const auto day = digits(text.substr(5, 2));
    const auto year = digits(text.substr(12, 4));
    const auto month = std::ranges::find(kMonths, text.substr(8, 3));
    Parts parts;
    if (!day || !year || month == kMonths.end() ||
        !read_clock(text.substr(17, 2), text.substr(20, 2), text.substr(23, 2), parts)) {
        return std::nullopt;
    }
    parts.year = *year;
    parts.month = static_cast<unsigned>(month - kMonths.begin()) + 1;
    parts.day = static_cast<unsigned>(*day);
    return to_unix(parts);
}

}  // namespace hako::gateway::auth
