// What every command shares: how it is run, how it fails, how it finds its name.
// Exit codes: 0 done, 1 failed (an Error: its message is on stderr), 2 wrong usage.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tnl {

enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2 };

// The whole program: builds the tree of commands, parses, runs, reports errors on stderr as
// "transnormer <command>: <message>". Returns the exit code.
int run_cli(int argc, const char* const* argv);

// The tree of commands, for run_cli, completion and tests.
std::unique_ptr<CLI::App> make_cli();

// Runs `run` when `command` was given, after all of the command line has been parsed. Its result
// is the exit code; it may also throw.
void on_run(CLI::App* command, std::function<int()> run);

// An option whose value is one of the names of an enum (enum_names, base/config.h).
template <class Enum>
CLI::Option* add_choice(CLI::App& command, const std::string& name, Enum& value,
                        const std::string& help) {
    std::vector<std::string> names;
    std::string initial;
    for (const auto& [text, each] : enum_names(Enum{})) {
        names.emplace_back(text);
        if (each == value) initial = text;
    }
    const auto set = [&value](const std::string& given) {
        for (const auto& [text, each] : enum_names(Enum{}))
            if (text == given) value = each;
    };
    return command.add_option_function<std::string>(name, set, help)
        ->check(CLI::IsMember(names))
        ->default_str(initial);
}

} // namespace tnl
