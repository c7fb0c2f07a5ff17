#include <cerrno>
#include <filesystem>
#include <iterator>
#include <vector>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <zlib.h>

#include "engine/base/ensure.h"
#include "engine/base/unique_fd.h"
#include "engine/registry/package_plan.h"
#include "engine/registry/package_writer.h"
#include "engine/registry/zip_directory.h"
#include "tests/fuzz/fuzz.h"

// Code packages of strangers, unpacked into memory. With byte 0 even the rest is the zip. With it
// odd the rest says what is in a zip that is put together here, so that names, modes and links are
// tried behind checksums that are right.

namespace {

using namespace hako;
using namespace hako::registry;
namespace fs = std::filesystem;

void append(std::string& out, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
        out += static_cast<char>(value >> (8 * i) & 0xffU);
    }
}

struct Entry {
    std::string_view name;
    std::string_view local_name;
    std::string_view content;
    std::uint16_t flags = 0;
    std::uint8_t host = 3;
    std::uint32_t mode = 0100644;
    std::uint32_t claimed_bytes = 0;
};

Entry take_entry(fuzz::Input& input) {
    constexpr std::uint32_t kModes[] = {0100644, 0100755, 0120777, 0040755, 0, 0104755, 0010644};
    const auto options = input.take<std::uint8_t>();
    Entry entry;
    entry.mode = kModes[options % std::size(kModes)];
    entry.name = entry.local_name = input.take_text();
    entry.content = input.take_text();
    entry.claimed_bytes = static_cast<std::uint32_t>(entry.content.size());
    if (options >= 240) {
        entry.flags = input.take<std::uint16_t>();
    } else if (options >= 220) {
        entry.mode = input.take<std::uint32_t>() & 0xffffU;
        entry.host = input.take<std::uint8_t>();
    } else if (options >= 200) {
        entry.claimed_bytes = input.take<std::uint32_t>();
    } else if (options >= 180) {
        entry.local_name = input.take_text();
    }
    return entry;
}

std::string header_of(const Entry& entry, std::string_view name) {
    const auto* content = reinterpret_cast<const Bytef*>(entry.content.data());
    std::string header;
    append(header, 20, 2);  // version needed
    append(header, entry.flags, 2);
    append(header, 0, 2);           // stored
    append(header, 0x4b8e5000, 4);  // some time in 2017
    append(header, crc32(0, content, static_cast<uInt>(entry.content.size())), 4);
    append(header, entry.content.size(), 4);
    append(header, entry.claimed_bytes, 4);
    append(header, name.size(), 2);
    append(header, 0, 2);  // extra
    return header;
}

std::string make_zip(fuzz::Input& input) {
    std::string zip;
    std::string directory;
    std::size_t count = 0;
    for (; !input.empty() && count < 64; ++count) {
        const Entry entry = take_entry(input);
        append(directory, 0x02014b50, 4);
        append(directory, 20U | static_cast<unsigned>(entry.host) << 8U, 2);
        directory += header_of(entry, entry.name);
        append(directory, 0, 6);  // comment, disk, internal attributes
        append(directory, std::uint64_t{entry.mode} << 16U, 4);
        append(directory, zip.size(), 4);
        directory += entry.name;
        append(zip, 0x04034b50, 4);
        zip += header_of(entry, entry.local_name);
        zip.append(entry.local_name).append(entry.content);
    }
    const std::size_t offset = zip.size();
    zip += directory;
    append(zip, 0x06054b50, 4);
    append(zip, 0, 4);
    append(zip, count, 2);
    append(zip, count, 2);
    append(zip, directory.size(), 4);
    append(zip, offset, 4);
    append(zip, 0, 2);
    return zip;
}

void check_plan(const std::string& zip) {
    const auto entries = read_zip_directory(fuzz::bytes_of(zip));
    if (!entries) {
        return;
    }
    for (const ZipEntry& entry : *entries) {
        ENSURE(fuzz::lies_in(entry.name, zip), "names are views into the zip");
    }
    const auto plan = plan_package(*entries);
    if (!plan) {
        return;
    }
    for (const PlannedFile& file : plan->files) {
        const fs::path path(file.path);
        ENSURE(path.is_relative() && path == path.lexically_normal(), "paths are normal");
        ENSURE(*path.begin() != "..", "no path leads up");
        ENSURE(file.entry_index < entries->size(), "a file is an entry");
    }
}

/// What the kernel says of a finished package: nothing in it is writable, special or leads out.
void check_tree(const std::string& root) {
    const UniqueFd dir(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
        struct stat status = {};
        ENSURE(::lstat(entry.path().c_str(), &status) == 0, "what is listed is there");
        ENSURE(
            S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISLNK(status.st_mode),
            "files, directories and symlinks"
        );
        ENSURE(status.st_nlink == 1 || S_ISDIR(status.st_mode), "no hard links");
        if (!S_ISLNK(status.st_mode)) {
            const mode_t mode = status.st_mode & 07777U;
            ENSURE(mode == 0444 || mode == 0555, "read-only, and never set-user-id");
        }
        open_how how{};
        how.flags = O_PATH | O_CLOEXEC;
        how.resolve = RESOLVE_BENEATH;
        const std::string inside = entry.path().lexically_relative(root);
        const long fd = ::syscall(SYS_openat2, dir.get(), inside.c_str(), &how, sizeof(how));
        const UniqueFd opened(static_cast<int>(fd));
        ENSURE(fd >= 0 || errno != EXDEV, "nothing leads out of the package");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    fuzz::Input input(data, bytes);
    const bool is_made = (input.take<std::uint8_t>() & 1U) != 0;
    const std::string zip = is_made ? make_zip(input) : std::string(input.rest());
    check_plan(zip);

    const std::string& scratch = fuzz::scratch_dir();
    fuzz::empty_directory(scratch);
    const std::string root = scratch + "/package";
    fs::create_directory(root);
    const UniqueFd dir(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto done = unpack_zip(fuzz::bytes_of(zip), dir.get());
    ENSURE(
        std::distance(fs::directory_iterator(scratch), fs::directory_iterator()) == 1,
        "nothing is written beside the package"
    );
    if (done) {
        check_tree(root);
    } else {
        ENSURE(done.error().status == 400, "the disk is well: a refusal is for what is in the zip");
    }
    return 0;
}
