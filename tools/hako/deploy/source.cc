#include "tools/hako/deploy/source.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <unordered_set>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

namespace hako::cli::deploy {
namespace {

// CloudFormation's own bound for a template in a bucket.
constexpr std::size_t kTemplateBytesMax = 1 << 20;
// Aliases let a small file stand for a huge tree; no template that is meant has so much.
constexpr std::size_t kNodesMax = 100'000;
constexpr int kDepthMax = 64;

[[noreturn]] void fail(const std::string& text) {
    throw Failure(Exit::kUsage, text);
}

void count_nodes(const YAML::Node& node, int depth, std::size_t& count, const std::string& path) {
    if (++count > kNodesMax || depth > kDepthMax) {
        fail(fmt::format(
            "{}:{}: more than {} values, or nested deeper than {}",
            path,
            node.Mark().line + 1,
            kNodesMax,
            kDepthMax
        ));
    }
    if (node.IsMap()) {
        for (const auto& member : node) {
            count_nodes(member.second, depth + 1, count, path);
        }
    } else if (node.IsSequence()) {
        for (const auto& item : node) {
            count_nodes(item, depth + 1, count, path);
        }
    }
}

}  // namespace

void Place::fail(std::string_view text) const {
    deploy::fail(fmt::format("{}:{}: {}{}{}", *file, line(), path, path.empty() ? "" : ": ", text));
}

std::vector<MemberPlace> members_of(const Place& place) {
    if (!place.node.IsMap()) {
        place.fail("must be a mapping");
    }
    std::vector<MemberPlace> members;
    std::unordered_set<std::string> keys;
    for (const auto& member : place.node) {
        if (!member.first.IsScalar()) {
            place.fail("has a key that is not plain text");
        }
        std::string key = member.first.Scalar();
        const std::string path = place.path.empty() ? key : place.path + "." + key;
        Place value{.node = member.second, .path = path, .file = place.file};
        if (!keys.insert(key).second) {
            Place{.node = member.first, .path = path, .file = place.file}.fail("is there twice");
        }
        members.push_back({std::move(key), std::move(value)});
    }
    return members;
}

std::vector<Place> items_of(const Place& place) {
    if (!place.node.IsSequence()) {
        place.fail("must be a list");
    }
    std::vector<Place> items;
    for (const auto& item : place.node) {
        items.push_back(
            {.node = item,
             .path = fmt::format("{}[{}]", place.path, items.size()),
             .file = place.file}
        );
    }
    return items;
}

Source::Source(std::string path) : path_(std::move(path)) {
    std::ifstream file(path_, std::ios::binary);
    if (!file) {
        fail(fmt::format("{}: {}", path_, std::strerror(errno)));
    }
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) {
        fail(fmt::format("{}: cannot be read", path_));
    }
    if (text.size() > kTemplateBytesMax) {
        fail(fmt::format(
            "{}: a template has at most {} bytes, this has {}",
            path_,
            kTemplateBytesMax,
            text.size()
        ));
    }
    try {
        root_ = YAML::Load(text);
    } catch (const YAML::Exception& error) {
        fail(fmt::format("{}:{}: {}", path_, error.mark.line + 1, error.msg));
    }
    std::size_t nodes_count = 0;
    count_nodes(root_, 0, nodes_count, path_);
    if (!root_.IsMap()) {
        fail(fmt::format("{}:1: a template is a mapping with Resources", path_));
    }
}

std::string Source::directory() const {
    const std::string parent = std::filesystem::path(path_).parent_path().string();
    return parent.empty() ? "." : parent;
}

}  // namespace hako::cli::deploy
