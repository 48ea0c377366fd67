// `transnormer completion SHELL`: the completion script of a shell, made from the tree of commands.
#include "base/check.h"
#include "cli/commands.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace tnl {
namespace {

struct Entry {
    std::string name, help; // "train" or "--steps"
    bool takes_value = false;
};

struct Command {
    std::string path; // "" for the program, "/tokenizer/train"
    std::vector<Entry> commands, options;
};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::vector<Command> flatten(const CLI::App& app, const std::string& path) {
    std::vector<Command> out(1);
    out[0].path = path;
    for (const CLI::Option* option : app.get_options())
        for (const std::string& name : option->get_lnames())
            out[0].options.push_back({"--" + name, first_line(option->get_description()),
                                      option->get_items_expected_max() > 0});
    for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
        out[0].commands.push_back({child->get_name(), first_line(child->get_description()), false});
        for (Command& each : flatten(*child, path + "/" + child->get_name()))
            out.push_back(std::move(each));
    }
    return out;
}

std::string names(const std::vector<Entry>& entries) {
    std::string out;
    for (const Entry& each : entries) out += (out.empty() ? "" : " ") + each.name;
    return out;
}

// Every path but the root, as patterns of `case`, parted by `bar`.
std::string patterns(const std::vector<Command>& tree, const char* bar) {
    std::string out;
    for (const Command& each : tree)
        if (!each.path.empty()) out += (out.empty() ? "" : bar) + each.path;
    return out;
}

// Text inside single quotes; `special` characters get a backslash.
std::string quoted(const std::string& text, const std::string& special, const char* quote) {
    std::string out;
    for (const char c : text) {
        if (c == '\'')
            out += quote;
        else if (special.find(c) != std::string::npos)
            out += std::string("\\") + c;
        else
            out += c;
    }
    return out;
}

std::string bash_script(const std::vector<Command>& tree) {
    std::string out = fmt::format(
        R"(# transnormer completion bash > ~/.local/share/bash-completion/completions/transnormer
_transnormer() {{
    local word where="" commands="" options="" current=${{COMP_WORDS[COMP_CWORD]}}
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$where/$word" in
        {}) where+="/$word" ;;
        esac
    done
    case "$where" in
)",
        patterns(tree, " | "));
    for (const Command& each : tree)
        out += fmt::format("    '{}') commands='{}' options='{}' ;;\n", each.path,
                           names(each.commands), names(each.options));
    out += R"(    esac
    case "$current" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$commands" -- "$current")) ;;
    esac
    # Values and plain arguments are mostly files.
    [ -n "$commands" ] || [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default 2>/dev/null
}
complete -F _transnormer transnormer
)";
    return out;
}

std::string zsh_script(const std::vector<Command>& tree) {
    std::string out = fmt::format(R"(#compdef transnormer
# transnormer completion zsh > a folder of $fpath/_transnormer
_transnormer() {{
    local word where=""
    local -a commands options
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        case "$where/$word" in
        ({}) where+="/$word" ;;
        esac
    done
    case "$where" in
)",
                                  patterns(tree, "|"));
    const auto list = [](const std::vector<Entry>& entries) {
        std::string text;
        for (const Entry& each : entries)
            text += fmt::format(" '{}:{}'", quoted(each.name, ":", "'\\''"),
                                quoted(each.help, ":", "'\\''"));
        return text;
    };
    for (const Command& each : tree)
        out += fmt::format("    ('{}') commands=({} ) options=({} ) ;;\n", each.path,
                           list(each.commands), list(each.options));
    out += R"(    esac
    if [[ $PREFIX == -* ]]; then
        _describe -o option options
    elif (( $#commands )); then
        _describe command commands
    else
        _files
    fi
}
if [[ $funcstack[1] == _transnormer ]]; then
    _transnormer "$@"
else
    compdef _transnormer transnormer
fi
)";
    return out;
}

std::string fish_script(const std::vector<Command>& tree) {
    std::string out =
        fmt::format(R"(# transnormer completion fish > ~/.config/fish/completions/transnormer.fish
function __transnormer_at
    set -l where ""
    for word in (commandline -opc)[2..]
        switch "$where/$word"
            case {}
                set where "$where/$word"
        end
    end
    test "$where" = "$argv[1]"
end
)",
                    patterns(tree, " "));
    for (const Command& each : tree) {
        const std::string at =
            fmt::format("complete -c transnormer -n \"__transnormer_at '{}'\"", each.path);
        for (const Entry& child : each.commands)
            out += fmt::format("{} -f -a '{}' -d '{}'\n", at, child.name,
                               quoted(child.help, "\\", "\\'"));
        for (const Entry& option : each.options)
            out += fmt::format("{} -l '{}'{} -d '{}'\n", at, option.name.substr(2),
                               option.takes_value ? " -r" : "", quoted(option.help, "\\", "\\'"));
    }
    return out;
}

} // namespace

void add_completion_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand("completion", "Print the completion script of a shell");
    auto shell = std::make_shared<std::string>();
    command->add_option("shell", *shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    command->footer(
        "bash  source <(transnormer completion bash), or, for every shell to come,\n"
        "      transnormer completion bash > "
        "~/.local/share/bash-completion/completions/transnormer\n"
        "zsh   transnormer completion zsh > a folder of $fpath/_transnormer\n"
        "fish  transnormer completion fish > ~/.config/fish/completions/transnormer.fish\n"
        "Completion is for the name transnormer: put build/ into PATH, or install the program.");
    on_run(command, [&app, shell] {
        const std::vector<Command> tree = flatten(app, "");
        fmt::print("{}", *shell == "bash"  ? bash_script(tree)
                         : *shell == "zsh" ? zsh_script(tree)
                                           : fish_script(tree));
        return kOk;
    });
}

} // namespace tnl
