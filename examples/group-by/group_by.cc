// Groups an array of records by one field and sums up another: an SQL "group by" over the event.
//
//   {"records": [{"region": "north", "amount": 12.5}, ...], "by": "region", "of": "amount",
//    "where": {"field": "amount", "at_least": 10}}
//
// answers the groups in alphabetical order with count, sum, min, max and mean of each.
#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include <simdjson.h>

#include "hako/function.h"

namespace {

namespace json = simdjson::dom;

struct Group {
    std::uint64_t count = 0;
    double sum = 0;
    double min = 0;
    double max = 0;

    void add(double value) {
        min = count == 0 ? value : std::min(min, value);
        max = count == 0 ? value : std::max(max, value);
        sum += value;
        ++count;
    }
};

struct Filter {
    std::string_view field;
    double at_least = 0;
};

struct Query {
    json::array records;
    std::string_view by;
    std::string_view of;
    std::optional<Filter> where;
};

template <typename T>
T require(simdjson::simdjson_result<T> result, const char* what) {
    T value;
    if (std::move(result).get(value) != simdjson::SUCCESS) {
        throw hako::Error("BadRequest", what);
    }
    return value;
}

Query parse_query(const json::element& event) {
    Query query{
        .records = require(event["records"].get_array(), "records must be an array"),
        .by = require(event["by"].get_string(), "by must name a field"),
        .of = require(event["of"].get_string(), "of must name a field"),
        .where = {},
    };
    json::element where;
    if (event["where"].get(where) == simdjson::SUCCESS) {
        query.where = Filter{
            .field = require(where["field"].get_string(), "where.field must name a field"),
            .at_least = require(where["at_least"].get_double(), "where.at_least must be a number"),
        };
    }
    return query;
}

bool passes(const json::element& record, const std::optional<Filter>& where) {
    double value = 0;
    return !where ||
           (record[where->field].get(value) == simdjson::SUCCESS && value >= where->at_least);
}

void append_number(std::string& out, double value) {
    char text[32];
    const std::to_chars_result end = std::to_chars(text, text + sizeof(text), value);
    out.append(text, end.ptr);
}

void append_string(std::string& out, std::string_view text) {
    constexpr char kHex[] = "0123456789abcdef";
    out += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20) {
            out.append("\\u00").append(1, kHex[byte >> 4U]).append(1, kHex[byte & 15U]);
            continue;
        }
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    out += '"';
}

std::string describe(const std::map<std::string_view, Group>& groups, std::uint64_t skipped_count) {
    std::string out = R"({"groups":[)";
    for (const auto& [name, group] : groups) {
        out += out.back() == '[' ? R"({"key":)" : R"(,{"key":)";
        append_string(out, name);
        out.append(R"(,"count":)").append(std::to_string(group.count));
        const std::pair<const char*, double> figures[] = {
            {"sum", group.sum},
            {"min", group.min},
            {"max", group.max},
            {"mean", group.sum / static_cast<double>(group.count)},
        };
        for (const auto& [label, value] : figures) {
            out.append(",\"").append(label).append("\":");
            append_number(out, value);
        }
        out += '}';
    }
    return out.append(R"(],"skipped":)").append(std::to_string(skipped_count)).append("}");
}

std::string handle(std::string_view event, hako::Context&) {
    // Kept between invocations: its buffers grow once.
    static json::parser parser;
    // No copy for padding: at least 64 bytes behind the event are readable.
    const json::element document = require(
        parser.parse(event.data(), event.size(), /*realloc_if_needed=*/false),
        "the event is no JSON"
    );
    const Query query = parse_query(document);
    std::map<std::string_view, Group> groups;
    std::uint64_t skipped_count = 0;
    for (const json::element record : query.records) {
        std::string_view key;
        double value = 0;
        const bool complete = record[query.by].get(key) == simdjson::SUCCESS &&
                              record[query.of].get(value) == simdjson::SUCCESS;
        if (complete && passes(record, query.where)) {
            groups[key].add(value);
        } else {
            ++skipped_count;
        }
    }
    hako_log(
        "%zu groups, %llu records skipped",
        groups.size(),
        static_cast<unsigned long long>(skipped_count)
    );
    return describe(groups, skipped_count);
}

}  // namespace

HAKO_FUNCTION(handle)
