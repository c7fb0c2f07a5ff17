#include "runtime-shim/native/code_file.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"

namespace hako::shim {
namespace {

#if defined(__x86_64__)
constexpr std::uint16_t kMachineHere = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kMachineHere = EM_AARCH64;
#else
#error "hako runs on x86_64 and aarch64"
#endif

/// The name Lambda and `uname` use; nullptr for what neither has.
const char* machine_name(std::uint16_t machine) noexcept {
    switch (machine) {
        case EM_X86_64:
            return "x86_64";
        case EM_AARCH64:
            return "arm64";
        case EM_386:
            return "i386";
        case EM_ARM:
            return "arm";
        case EM_RISCV:
            return "riscv";
        case EM_PPC64:
            return "ppc64";
        case EM_S390:
            return "s390x";
        default:
            return nullptr;
    }
}

void name_machine(std::uint16_t machine, char* text, std::size_t bytes) noexcept {
    const char* const name = machine_name(machine);
    if (name != nullptr) {
        std::snprintf(text, bytes, "%s", name);
    } else {
        std::snprintf(text, bytes, "ELF machine %u", static_cast<unsigned>(machine));
    }
}

bool explain_elf(
    const unsigned char* head, std::size_t head_bytes, char* reason, std::size_t bytes
) noexcept {
    // e_machine lies at the same place in 32- and 64-bit files.
    if (head_bytes < offsetof(Elf64_Ehdr, e_machine) + 2) {
        std::snprintf(reason, bytes, "it is cut short");
        return true;
    }
    std::uint16_t machine = 0;
    std::memcpy(&machine, head + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
    if (head[EI_DATA] != ELFDATA2LSB) {
        machine = static_cast<std::uint16_t>(machine << 8U | machine >> 8U);
    }
    if (machine == kMachineHere && head[EI_CLASS] == ELFCLASS64) {
        return false;
    }
    char theirs[32];
    name_machine(machine, theirs, sizeof(theirs));
    std::snprintf(
        reason,
        bytes,
        "it is built for %s%s and this machine is %s",
        theirs,
        head[EI_CLASS] == ELFCLASS32 ? " (32 bit)" : "",
        machine_name(kMachineHere)
    );
    return true;
}

}  // namespace

bool explain_code_file(const char* path, char* reason, std::size_t bytes) noexcept {
    const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
    if (!file) {
        std::snprintf(reason, bytes, "%s", std::strerror(errno));
        return true;
    }
    unsigned char head[64] = {};
    const ssize_t got = read(file.get(), head, sizeof(head));
    if (got < 0) {
        std::snprintf(reason, bytes, "%s", std::strerror(errno));
        return true;
    }
    const auto head_bytes = static_cast<std::size_t>(got);
    if (head_bytes >= SELFMAG && std::memcmp(head, ELFMAG, SELFMAG) == 0) {
        return explain_elf(head, head_bytes, reason, bytes);
    }
    if (head_bytes >= 2 && head[0] == '#' && head[1] == '!') {
        return false;
    }
    std::snprintf(reason, bytes, "%s", head_bytes == 0 ? "it is empty" : "it is no ELF file");
    return true;
}

}  // namespace hako::shim
