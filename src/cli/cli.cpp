#include "cli/cli.h"

#include "base/check.h"
#include "base/nearest.h"
#include "cli/commands.h"
#include "cli/version.h"

#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>

namespace tnl {

// "=[]" tells a reader of --help nothing.
static void hide_empty_defaults(CLI::App& app) {
    for (CLI::Option* option : app.get_options())
        if (option->get_default_str() == "[]") option->default_str("");
    for (CLI::App* command : app.get_subcommands({})) hide_empty_defaults(*command);
}

std::unique_ptr<CLI::App> make_cli() {
    auto app = std::make_unique<CLI::App>(
        "Train and run TransNormerLLM: linear attention with a constant-size state.",
        "transnormer");
    app->option_defaults()->always_capture_default();
    app->set_version_flag("--version", version_text, "Print the commit and what it was built with");
    app->require_subcommand(1);
    app->get_formatter()->column_width(36);
    for (auto* add :
         {add_train_command, add_generate_command, add_serve_command, add_eval_command,
          add_tokenizer_command, add_tokenize_command, add_corpus_command, add_verify_command,
          add_inspect_command, add_import_command, add_export_command, add_quantize_command,
          add_plot_command, add_bench_command, add_completion_command})
        if (add != nullptr) add(*app);
    for (CLI::App* command : app->get_subcommands({})) hide_empty_defaults(*command);
    // Last, as commands would inherit it.
    app->footer("More: transnormer COMMAND --help. Exit codes: 0 done, 1 failed, 2 wrong usage.");
    return app;
}

void on_run(CLI::App* command, std::function<int()> run) {
    command->callback([run = std::move(run)] {
        if (const int code = run(); code != kOk) throw CLI::RuntimeError(code);
    });
}

// The innermost command that was given.
static const CLI::App* innermost(const CLI::App* app) {
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return app;
}

// "transnormer tokenizer train": the program and the commands given.
static std::string command_name(const CLI::App& app) {
    std::string name = app.get_name();
    for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
        at = at->get_subcommands().front();
        name += " " + at->get_name();
    }
    return name;
}

// The message of an error, without the ends of the range of all numbers: "--chunk: Value 0 not in
// range 0.000000 to 179769..." becomes "--chunk: 0, wanted a number above 0".
static std::string plain_message(const CLI::App& command, const CLI::ParseError& error) {
    const std::string what = error.what();
    const size_t colon = what.find(": Value "), end = what.find(" not in range");
    if (colon == std::string::npos || end == std::string::npos) return what;
    const CLI::Option* option = command.get_option_no_throw(what.substr(0, colon));
    if (option == nullptr) return what;
    const std::string type = option->get_type_name();
    const bool any = type.find("NONNEGATIVE") != std::string::npos;
    if (!any && type.find("POSITIVE") == std::string::npos) return what;
    const size_t value = colon + std::string_view(": Value ").size();
    return fmt::format("{}: {}, wanted {}", what.substr(0, colon), what.substr(value, end - value),
                       any ? "0 or more" : "a number above 0");
}

// What a ParseError means, naming the nearest command or option where one was mistyped.
static std::string parse_message(const CLI::App& app, const CLI::ParseError& error) {
    const CLI::App* command = innermost(&app);
    const std::vector<std::string> rest = app.remaining(true);
    if (rest.empty()) return plain_message(*command, error);
    const bool option = rest.front().starts_with('-');
    std::vector<std::string> valid;
    if (option)
        for (const CLI::Option* each : command->get_options())
            for (const std::string& name : each->get_lnames()) valid.push_back("--" + name);
    else
        for (const CLI::App* each : command->get_subcommands([](const CLI::App*) { return true; }))
            valid.push_back(each->get_name());
    if (valid.empty()) return error.what();
    const std::string written = rest.front().substr(0, rest.front().find('='));
    return fmt::format("unknown {} '{}'; the nearest is {}", option ? "option" : "command", written,
                       nearest(written, valid));
}

static int report(const CLI::App& app, const std::string& message, int code) {
    std::cout.flush();
    const std::string name = command_name(app);
    fmt::print(stderr, "{}: {}\n", name, message);
    if (code == kUsage) fmt::print(stderr, "See {} --help.\n", name);
    return code;
}

int run_cli(int argc, const char* const* argv) {
    // A limit on the size of files is an error, as a full disk is, and not the end.
    std::signal(SIGXFSZ, SIG_IGN);
    const std::unique_ptr<CLI::App> app = make_cli();
    try {
        app->parse(argc, argv);
    } catch (const CLI::RuntimeError& e) {
        return e.get_exit_code();
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0) return app->exit(e);
        return report(*app, parse_message(*app, e), kUsage);
    } catch (const UsageError& e) {
        return report(*app, e.what(), kUsage);
    } catch (const std::bad_alloc&) {
        return report(*app, "out of memory", kFailed);
    } catch (const std::exception& e) {
        return report(*app, e.what(), kFailed);
    }
    // A full disk or a closed pipe behind stdout is a failure too.
    std::cout.flush();
    if (std::fflush(stdout) != 0 || !std::cout) return report(*app, "cannot write stdout", kFailed);
    return kOk;
}

} // namespace tnl
