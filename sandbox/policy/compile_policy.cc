#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "sandbox/policy/policy.h"

// compile_policy POLICY OUT.inc OUT.bpf: writes the filter as the body of a C array and as raw
// sock_filter records. Refuses a policy whose program does not decide as its text says.
namespace {

int complain(const std::string& text) {
    std::fprintf(stderr, "compile_policy: %s\n", text.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        return complain("usage: compile_policy POLICY OUT.inc OUT.bpf");
    }
    std::ifstream in(argv[1]);
    std::stringstream text;
    text << in.rdbuf();
    if (!in) {
        return complain(std::string("cannot read ") + argv[1]);
    }
    const auto policy = hako::policy::parse(text.str());
    if (!policy) {
        return complain(std::string(argv[1]) + ": " + policy.error());
    }
    const std::vector<sock_filter> program = hako::policy::generate(*policy);
    if (program.size() > BPF_MAXINSNS) {
        return complain("program too long");
    }
    if (const std::string fault = hako::policy::verify(*policy, program); !fault.empty()) {
        return complain(fault);
    }
    std::ofstream array(argv[2]);
    for (const sock_filter& insn : program) {
        array << "{" << insn.code << "," << unsigned{insn.jt} << "," << unsigned{insn.jf} << ","
              << insn.k << "u},\n";
    }
    std::ofstream raw(argv[3], std::ios::binary);
    raw.write(
        reinterpret_cast<const char*>(program.data()),
        static_cast<std::streamsize>(program.size() * sizeof(sock_filter))
    );
    array.flush();
    raw.flush();
    return array && raw ? 0 : complain("cannot write the output");
}
