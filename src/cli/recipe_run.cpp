#include "cli/recipe_run.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/jobs/file_hash.h"
#include "text/reader.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace tnl {
namespace fs = std::filesystem;
namespace {

// What says how outputs were made, and by whom: may differ from run to run.
bool is_bookkeeping(const fs::path& relative) {
    const std::string first = relative.begin()->string();
    return first == "manifest" || first == "leases" || first == "scratch" ||
           relative.filename().string().starts_with(".");
}

Json list_outputs(const fs::path& directory) {
    std::vector<std::pair<std::string, uint64_t>> files;
    if (fs::exists(directory))
        for (const auto& entry : fs::recursive_directory_iterator(directory)) {
            const fs::path relative = entry.path().lexically_relative(directory);
            if (!is_bookkeeping(relative) && entry.is_regular_file() && !entry.is_symlink())
                files.emplace_back(relative.generic_string(), entry.file_size());
        }
    std::sort(files.begin(), files.end());
    Json out = Json::array();
    for (const auto& [name, bytes] : files) out.push_back({{"path", name}, {"bytes", bytes}});
    return out;
}

// Files that a text of a recipe names: itself, what is in the directory, what a wildcard matches.
std::vector<fs::path> files_of(const std::string& text, const fs::path& base) {
    std::vector<fs::path> out;
    const fs::path path = base / text;
    std::error_code error;
    if (fs::is_regular_file(path, error)) {
        out.push_back(path);
    } else if (fs::is_directory(path, error)) {
        for (const auto& entry : fs::directory_iterator(path))
            if (entry.is_regular_file()) out.push_back(entry.path());
    } else if (text.find_first_of("*?[") != std::string::npos) {
        try {
            out = expand_inputs({path.string()});
        } catch (const Error&) {
            out.clear(); // the command will say so
        }
    }
    std::sort(out.begin(), out.end());
    return out;
}

Json identity(const fs::path& path, const Json& known) {
    const corpus::FileIdentity now = corpus::glance(path);
    // What has the size and time it had is what it was.
    for (const Json& file : known)
        if (file.at("path") == path.string() && file.at("bytes") == now.bytes &&
            file.at("modified") == now.modified)
            return file;
    const corpus::FileIdentity file = corpus::identify(path);
    return {{"path", path.string()},
            {"bytes", file.bytes},
            {"modified", file.modified},
            {"xxh3", file.xxh3}};
}

std::optional<Json> read_record(const fs::path& path) {
    if (!fs::exists(path)) return std::nullopt;
    return parse_json_file(path, {.keys = 1 << 20});
}

} // namespace

StageRecord::StageRecord(const Recipe& recipe, const RecipeStage& stage,
                         const RecipeCommand& command, std::string after)
    : directory_(stage.directory), inputs_(Json::array()), arguments_(command.arguments) {
    std::string name = stage.name;
    std::replace(name.begin(), name.end(), '/', '.');
    path_ = recipe.output / "records" / (name + ".json");
    const std::optional<Json> said = read_record(path_);
    const Json known = said ? said->at("inputs") : Json::array();
    const fs::path base = fs::absolute(recipe.file).parent_path();
    std::string all = std::move(after);
    for (const std::string& argument : arguments_) all += argument + '\0';
    for (const std::string& text : command.own_files)
        for (const fs::path& path : files_of(text, base)) {
            inputs_.push_back(identity(path, known));
            all += inputs_.back().at("path").get<std::string>() + '\0' +
                   inputs_.back().at("xxh3").get<std::string>() + '\0';
        }
    digest_ = corpus::hash_text(all);
}

bool StageRecord::done() const {
    const std::optional<Json> said = read_record(path_);
    if (!said || said->at("digest") != digest_ || said->at("outputs").is_null()) return false;
    for (const Json& output : said->at("outputs")) {
        const fs::path path = directory_ / output.at("path").get<std::string>();
        std::error_code error;
        if (fs::file_size(path, error) != output.at("bytes") || error) return false;
    }
    return true;
}

bool StageRecord::begun_otherwise() const {
    const std::optional<Json> said = read_record(path_);
    return said && said->at("digest") != digest_;
}

void StageRecord::write(const Json& outputs) const {
    fs::create_directories(path_.parent_path());
    const Json record = {
        {"arguments", arguments_}, {"digest", digest_}, {"inputs", inputs_}, {"outputs", outputs}};
    write_file_atomic(path_, record.dump(1) + "\n");
}
void StageRecord::begin() const { write(nullptr); }
void StageRecord::finish() const { write(list_outputs(directory_)); }

int run_child(const std::vector<std::string>& arguments, const fs::path& directory) {
    std::string program = fs::read_symlink("/proc/self/exe").string();
    std::vector<std::string> words = {program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = getpid(), child = fork();
    if (child < 0) fail("{}: cannot be started: {}", program, std::strerror(errno));
    if (child == 0) {
        // Killed with this process, whatever ends that.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || chdir(directory.c_str()) != 0) _exit(127);
        execv(program.c_str(), argv.data());
        _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) fail("waiting for {}: {}", program, std::strerror(errno));
    if (WIFSIGNALED(status))
        fail("{} was ended by signal {} ({})", arguments.front(), WTERMSIG(status),
             strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status);
}

} // namespace tnl
