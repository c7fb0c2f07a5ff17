#include "tests/unit/registry/fixture.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <gtest/gtest.h>

#include "engine/base/ensure.h"
#include "engine/registry/file_tree.h"

namespace hako::registry {

TempDir::TempDir() : TempDir(testing::TempDir()) {}

TempDir::TempDir(std::string base) : path_(std::move(base) + "hako-registry-XXXXXX") {
    ENSURE(mkdtemp(path_.data()) != nullptr, "the test can make a directory");
}

TempDir::~TempDir() {
    const auto removed = remove_tree(AT_FDCWD, path_);
    EXPECT_TRUE(removed.has_value()) << path_;
}

std::string memory_base() {
    return std::filesystem::is_directory("/dev/shm") ? "/dev/shm/" : testing::TempDir();
}

std::size_t open_fds_count() {
    const std::filesystem::directory_iterator fds("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

namespace {

template <typename T, typename E>
T must(std::expected<T, E> value) {
    if (!value) {
        ADD_FAILURE() << value.error().text;
        std::abort();
    }
    return std::move(*value);
}

void append(std::string& out, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
        out += static_cast<char>(value >> (8 * i) & 0xffU);
    }
}

std::string deflate_raw(const std::string& content) {
    z_stream stream{};
    ENSURE(deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib starts");
    std::string out(deflateBound(&stream, content.size()), '\0');
    std::string in = content;  // zlib wants it writable
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    ENSURE(deflate(&stream, Z_FINISH) == Z_STREAM_END, "the bound is enough");
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

/// The fields that local header and central directory share.
std::string common_header(const ZipSource& source, const std::string& packed) {
    const auto crc = crc32(
        0,
        reinterpret_cast<const Bytef*>(source.content.data()),
        static_cast<uInt>(source.content.size())
    );
    std::string header;
    append(header, 20, 2);  // version needed
    append(header, source.flags, 2);
    append(header, 8, 2);           // deflate
    append(header, 0x4b8e5000, 4);  // some time in 2017
    append(header, crc, 4);
    append(header, packed.size(), 4);
    append(header, source.claimed_bytes.value_or(source.content.size()), 4);
    append(header, source.name.size(), 2);
    append(header, 0, 2);  // extra
    return header;
}

}  // namespace

std::string make_zip(const std::vector<ZipSource>& sources) {
    std::string zip;
    std::string directory;
    std::string packed;
    const std::string* packed_content = nullptr;
    for (const ZipSource& source : sources) {
        if (packed_content == nullptr || *packed_content != source.content) {
            packed = deflate_raw(source.content);
            packed_content = &source.content;
        }
        const std::string header = common_header(source, packed);
        append(directory, 0x02014b50, 4);
        append(directory, 20U | static_cast<unsigned>(source.host) << 8U, 2);
        directory += header;
        append(directory, 0, 6);  // comment, disk, internal attributes
        append(directory, std::uint64_t{source.mode} << 16U, 4);
        append(directory, zip.size(), 4);
        directory += source.name;
        append(zip, 0x04034b50, 4);
        zip += header + source.name + packed;
    }
    const std::size_t offset = zip.size();
    zip += directory;
    append(zip, 0x06054b50, 4);
    append(zip, 0, 4);
    append(zip, sources.size(), 2);
    append(zip, sources.size(), 2);
    append(zip, directory.size(), 4);
    append(zip, offset, 4);
    append(zip, 0, 2);
    return zip;
}

std::string python_zip(std::string_view body) {
    return make_zip({{.name = "handler.py", .content = std::string(body)}});
}

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

std::vector<std::string> tree_of(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        const bool is_dir = entry.is_directory() && !entry.is_symlink();
        names.push_back(
            std::filesystem::relative(entry.path().parent_path(), path) / entry.path().filename()
        );
        names.back() = std::filesystem::path(names.back()).lexically_normal();
        names.back() += is_dir ? "/" : "";
    }
    std::ranges::sort(names);
    return names;
}

std::string json_at(std::string_view json, std::string_view pointer) {
    simdjson::dom::parser parser;
    simdjson::dom::element found;
    const auto error = parser.parse(json.data(), json.size()).at_pointer(pointer).get(found);
    if (error == simdjson::NO_SUCH_FIELD || error == simdjson::INDEX_OUT_OF_BOUNDS) {
        return "(none)";
    }
    if (error) {
        return simdjson::error_message(error);
    }
    std::string_view text;
    return found.get(text) == simdjson::SUCCESS ? std::string(text) : simdjson::minify(found);
}

Engine::Engine(const std::string& state_path, ControlOptions options)
    : state(must(StateDir::open(state_path))),
      store(must(Store::open(state.registry_path()))),
      code(std::make_unique<CodeStore>(state.code_fd(), state.path() + "/code")),
      registry(std::make_unique<Registry>(Identity{})),
      report(must(load(*store, *code, *registry))),
      control(std::make_unique<ControlService>(*registry, *store, *code, runner, std::move(options))
      ) {}

ControlAnswer Engine::call(
    std::string_view operation, std::string_view json, std::string_view zip
) {
    return control->handle(operation, json, bytes_of(zip));
}

ControlAnswer Engine::create(const std::string& name, std::string_view zip) {
    ControlAnswer answer = call(
        "CreateFunction",
        R"({"Runtime":"python3.12","Handler":"handler.handle","FunctionName":")" + name + "\"}",
        zip
    );
    EXPECT_EQ(answer.status, 201) << answer.json;
    return answer;
}

}  // namespace hako::registry
