#include "runtime-shim/native/needed_libraries.h"

#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"

namespace hako::shim {
namespace {

constexpr int kDepthMax = 16;
constexpr std::size_t kFoldersMax = 16;

/// A file that the function's author wrote: everything in it is checked.
class ElfFile {
public:
    explicit ElfFile(const char* path) noexcept {
        const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
        struct stat info = {};
        if (!file || fstat(file.get(), &info) != 0 ||
            static_cast<std::size_t>(info.st_size) < sizeof(Elf64_Ehdr)) {
            return;
        }
        const auto bytes_count = static_cast<std::size_t>(info.st_size);
        void* const place = mmap(nullptr, bytes_count, PROT_READ, MAP_PRIVATE, file.get(), 0);
        if (place != MAP_FAILED) {
            bytes_ = {static_cast<const char*>(place), bytes_count};
        }
    }
    ElfFile(const ElfFile&) = delete;
    ElfFile& operator=(const ElfFile&) = delete;
    ~ElfFile() {
        if (!bytes_.empty()) {
            munmap(const_cast<char*>(bytes_.data()), bytes_.size());
        }
    }

    /// Calls `visit` with each DT_NEEDED name.
    template <typename Visit>
    void for_each_needed(Visit visit) const noexcept {
        Elf64_Ehdr head;
        if (!read(0, head) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
            head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof(Elf64_Phdr)) {
            return;
        }
        const std::span<const char> dynamic = find_dynamic(head);
        const std::uint64_t names_at = find_names(head, dynamic);
        for_each_tag(dynamic, [this, names_at, &visit](const Elf64_Dyn& entry) {
            if (entry.d_tag == DT_NEEDED && names_at != kNowhere) {
                const std::string_view name = text(names_at, entry.d_un.d_val);
                if (!name.empty() && name.find('/') == std::string_view::npos) {
                    visit(name);
                }
            }
        });
    }

private:
    static constexpr std::uint64_t kNowhere = UINT64_MAX;

    template <typename T>
    bool read(std::uint64_t at, T& into) const noexcept {
        if (at > bytes_.size() || bytes_.size() - at < sizeof(T)) {
            return false;
        }
        std::memcpy(&into, bytes_.data() + at, sizeof(T));
        return true;
    }

    template <typename Visit>
    void for_each_segment(const Elf64_Ehdr& head, Visit visit) const noexcept {
        for (std::uint64_t i = 0; i < head.e_phnum; ++i) {
            Elf64_Phdr segment;
            if (!read(head.e_phoff + i * sizeof(Elf64_Phdr), segment)) {
                return;
            }
            visit(segment);
        }
    }

    template <typename Visit>
    static void for_each_tag(std::span<const char> dynamic, Visit visit) noexcept {
        for (std::size_t at = 0; dynamic.size() - at >= sizeof(Elf64_Dyn);
             at += sizeof(Elf64_Dyn)) {
            Elf64_Dyn entry;
            std::memcpy(&entry, dynamic.data() + at, sizeof(entry));
            if (entry.d_tag == DT_NULL) {
                return;
            }
            visit(entry);
        }
    }

    std::span<const char> find_dynamic(const Elf64_Ehdr& head) const noexcept {
        std::span<const char> found;
        for_each_segment(head, [this, &found](const Elf64_Phdr& segment) {
            if (segment.p_type == PT_DYNAMIC && segment.p_offset <= bytes_.size() &&
                segment.p_filesz <= bytes_.size() - segment.p_offset) {
                found = bytes_.subspan(segment.p_offset, segment.p_filesz);
            }
        });
        return found;
    }

    /// Where in the file the dynamic string table lies.
    std::uint64_t find_names(const Elf64_Ehdr& head, std::span<const char> dynamic) const noexcept {
        std::uint64_t address = kNowhere;
        for_each_tag(dynamic, [&address](const Elf64_Dyn& entry) {
            address = entry.d_tag == DT_STRTAB ? entry.d_un.d_ptr : address;
        });
        std::uint64_t place = kNowhere;
        for_each_segment(head, [address, &place](const Elf64_Phdr& segment) {
            if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
                address - segment.p_vaddr < segment.p_filesz) {
                place = segment.p_offset + (address - segment.p_vaddr);
            }
        });
        return place;
    }

    std::string_view text(std::uint64_t names_at, std::uint64_t offset) const noexcept {
        if (names_at > bytes_.size() || offset >= bytes_.size() - names_at) {
            return {};
        }
        const std::span<const char> rest = bytes_.subspan(names_at + offset);
        const std::size_t length = strnlen(rest.data(), rest.size());
        return length < rest.size() ? std::string_view(rest.data(), length) : std::string_view();
    }

    std::span<const char> bytes_;
};

/// The directories of LD_LIBRARY_PATH in which something may lie that the linker would not find by
/// itself.
class SearchPath {
public:
    SearchPath() noexcept {
        const char* const variable = std::getenv("LD_LIBRARY_PATH");
        std::string_view rest = variable != nullptr ? variable : "";
        while (!rest.empty()) {
            const std::size_t colon = rest.find(':');
            add(rest.substr(0, colon));
            rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
        }
    }

    /// Loads what lies below, then the library itself: when the object that needs it is loaded, it
    /// is known by its name.
    void load(std::string_view name, int depth) const noexcept {
        std::array<char, PATH_MAX> path;
        if (!find(name, path)) {
            return;
        }
        std::array<char, NAME_MAX + 1> plain{};
        name.copy(plain.data(), plain.size() - 1);
        if (void* const loaded = dlopen(plain.data(), RTLD_LAZY | RTLD_NOLOAD)) {
            dlclose(loaded);
            return;
        }
        load_needed(path.data(), depth + 1);
        // Never closed: it stays as long as the function does. Errors: see the header.
        (void)dlopen(path.data(), RTLD_NOW | RTLD_LOCAL);
    }

    void load_needed(const char* path, int depth) const noexcept {
        if (depth < kDepthMax && folders_count_ > 0) {
            const ElfFile file(path);
            file.for_each_needed([this, depth](std::string_view name) { load(name, depth); });
        }
    }

private:
    void add(std::string_view folder) noexcept {
        for (const std::string_view known : {"/lib", "/usr/lib", "/var/runtime"}) {
            if (folder.starts_with(known)) {
                return;
            }
        }
        std::array<char, PATH_MAX> path{};
        if (folder.empty() || folder.size() >= path.size() || folders_count_ == kFoldersMax) {
            return;
        }
        folder.copy(path.data(), folder.size());
        if (access(path.data(), X_OK) == 0) {
            folders_[folders_count_++] = folder;
        }
    }

    [[nodiscard]] bool find(std::string_view name, std::array<char, PATH_MAX>& path)
        const noexcept {
        if (name.size() > NAME_MAX) {
            return false;
        }
        for (std::size_t i = 0; i < folders_count_; ++i) {
            const std::string_view folder = folders_[i];
            const int length = std::snprintf(
                path.data(),
                path.size(),
                "%.*s/%.*s",
                static_cast<int>(folder.size()),
                folder.data(),
                static_cast<int>(name.size()),
                name.data()
            );
            if (length > 0 && static_cast<std::size_t>(length) < path.size() &&
                access(path.data(), R_OK) == 0) {
                return true;
            }
        }
        return false;
    }

    std::array<std::string_view, kFoldersMax> folders_;
    std::size_t folders_count_ = 0;
};

}  // namespace

void load_needed_libraries(const char* path) noexcept {
    SearchPath().load_needed(path, 0);
}

}  // namespace hako::shim
