#include "corpus/jobs/workspace.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/jobs/file_hash.h"
#include "corpus/jobs/process_name.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr auto kPoll = std::chrono::milliseconds(50);

// Whether a file is what the manifest says. Where only its time differs, its bytes decide.
bool is_same(const Json& said, const fs::path& path) {
    std::error_code error;
    if (!fs::exists(path, error)) return false;
    const FileIdentity now = glance(path);
    if (said.at("bytes") != now.bytes) return false;
    if (!said.contains("modified") || said.at("modified") == now.modified) return true;
    return said.at("xxh3") == identify(path).xxh3;
}

// Removes what processes of this machine that are gone have left in scratch/<process>/.
void clean(const fs::path& scratch) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(scratch, ignored))
        if (is_gone(entry.path().filename().string())) fs::remove_all(entry.path(), ignored);
}

} // namespace

fs::path UnitOutputs::add(const fs::path& relative) {
    names_.push_back(relative);
    fs::path path = scratch_ / relative;
    fs::create_directories(path.parent_path());
    fs::create_directories((root_ / relative).parent_path());
    return path;
}

Workspace::Workspace(fs::path root, LeaseOptions leases)
    : root_(std::move(root)), leases_(root_ / "leases", leases) {
    fs::create_directories(root_ / "manifest");
    fs::create_directories(root_ / "scratch");
    clean(root_ / "scratch");
}
Workspace::~Workspace() {
    std::error_code ignored;
    fs::remove_all(root_ / "scratch" / process_name(), ignored);
}

fs::path Workspace::manifest_path(const Unit& unit) const {
    return root_ / "manifest" / (unit.name + ".json");
}

Json Workspace::manifest(const Unit& unit) const { return parse_json_file(manifest_path(unit)); }

bool Workspace::done(const Stage& stage, const Unit& unit) const {
    if (!fs::exists(manifest_path(unit))) return false;
    const Json said = manifest(unit);
    if (said.at("parameters") != stage.parameters || said.at("after") != stage.after ||
        said.at("inputs").size() != unit.inputs.size())
        return false;
    for (size_t i = 0; i < unit.inputs.size(); ++i) {
        const Json& input = said.at("inputs")[i];
        if (input.at("path") != unit.inputs[i].string() || !is_same(input, unit.inputs[i]))
            return false;
    }
    for (const Json& output : said.at("outputs"))
        if (!is_same(output, root_ / output.at("path").get<std::string>())) return false;
    return true;
}

// What a unit made with other parameters and does not make now.
void Workspace::remove_earlier(const Unit& unit, const std::vector<fs::path>& now) const {
    if (!fs::exists(manifest_path(unit))) return;
    const std::set<fs::path> names(now.begin(), now.end());
    const Json earlier = manifest(unit);
    for (const Json& output : earlier.at("outputs")) {
        const fs::path name = output.at("path").get<std::string>();
        if (!names.contains(name)) fs::remove(root_ / name);
    }
}

void Workspace::execute(const Stage& stage, const Unit& unit) const {
    const fs::path scratch = root_ / "scratch" / process_name() / unit.name;
    fs::remove_all(scratch);
    fs::create_directories(scratch);
    struct Remove {
        const fs::path& path;
        ~Remove() {
            std::error_code ignored;
            fs::remove_all(path, ignored);
        }
    } const remove{scratch};

    Json said = {{"unit", unit.name}, {"parameters", stage.parameters}, {"after", stage.after}};
    said["inputs"] = Json::array();
    for (const fs::path& path : unit.inputs) {
        const FileIdentity file = identify(path);
        said["inputs"].push_back({{"path", path.string()},
                                  {"bytes", file.bytes},
                                  {"modified", file.modified},
                                  {"xxh3", file.xxh3}});
    }
    UnitOutputs outputs(root_, scratch);
    Json counts = unit.run(outputs);
    remove_earlier(unit, outputs.names());
    said["outputs"] = Json::array();
    std::set<fs::path> directories;
    for (const fs::path& name : outputs.names()) {
        const FileIdentity file = identify(scratch / name);
        said["outputs"].push_back(
            {{"path", name.generic_string()}, {"bytes", file.bytes}, {"xxh3", file.xxh3}});
        fs::rename(scratch / name, root_ / name);
        directories.insert((root_ / name).parent_path());
    }
    for (const fs::path& directory : directories) fsync_directory(directory);
    said["counts"] = std::move(counts);
    // Written aside, as two may come to this at once where a lease was taken from a slow process.
    write_file_atomic(scratch / "manifest.json", said.dump() + "\n");
    fs::rename(scratch / "manifest.json", manifest_path(unit));
    fsync_directory(root_ / "manifest");
}

Workspace::Progress Workspace::run(const Stage& stage, int workers, Task task, bool wait) {
    const std::vector<Unit>& units = stage.units;
    Progress progress;
    progress.units = units.size();
    // This task's share, then the others', beginning behind it so that tasks do not meet.
    std::vector<size_t> order;
    for (int i = 0; i < task.world; ++i)
        for (const size_t unit :
             share_of(units.size(), {(task.index + i) % task.world, task.world}))
            order.push_back(unit);
    enum State : uint8_t { open, busy, finished };
    std::vector<State> states(units.size(), open);
    for (size_t i = 0; i < units.size(); ++i)
        if (done(stage, units[i])) {
            states[i] = finished;
            ++progress.done_before;
        }

    std::mutex mutex;
    std::exception_ptr error;
    const auto work = [&] {
        for (;;) {
            bool any_open = false, did = false;
            for (const size_t i : order) {
                {
                    const std::lock_guard lock(mutex);
                    if (error) return;
                    if (states[i] == busy) any_open = true;
                    if (states[i] != open) continue;
                    states[i] = busy;
                }
                const Unit& unit = units[i];
                State state = open;
                try {
                    // Between the look and the lease another process may have done it.
                    const bool mine = leases_.take(unit.name);
                    const bool elsewhere = done(stage, unit);
                    if (mine && !elsewhere) execute(stage, unit);
                    if (mine) leases_.give_back(unit.name);
                    if (mine || elsewhere) state = finished;
                    did = did || mine;
                    const std::lock_guard lock(mutex);
                    progress.done_elsewhere += elsewhere;
                    progress.done_here += mine && !elsewhere;
                } catch (...) {
                    leases_.give_back(unit.name);
                    const std::lock_guard lock(mutex);
                    if (!error) error = std::current_exception();
                }
                const std::lock_guard lock(mutex);
                states[i] = state;
                any_open = any_open || state == open;
            }
            if (!any_open || (!wait && !did)) return;
            if (!did) std::this_thread::sleep_for(kPoll);
        }
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < workers && static_cast<size_t>(i) < units.size(); ++i)
        threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (error) std::rethrow_exception(error);
    return progress;
}

void Workspace::require(const Stage& stage) const {
    size_t missing = 0;
    std::string first;
    for (const Unit& unit : stage.units)
        if (!done(stage, unit) && missing++ == 0) first = unit.name;
    if (missing > 0)
        fail("{}: {} of {} pieces of stage '{}' are not done, the first is '{}'; wanted that stage "
             "first",
             root_.string(), missing, stage.units.size(), stage.name, first);
}

std::string Workspace::digest(const Stage& stage) const {
    std::string all;
    for (const Unit& unit : stage.units) all += manifest(unit).at("outputs").dump();
    return hash_text(all);
}

Json Workspace::counts(const Stage& stage) const {
    Json total = Json::object();
    for (const Unit& unit : stage.units) {
        const Json said = manifest(unit);
        for (const auto& [name, value] : said.at("counts").items())
            total[name] = total.value(name, uint64_t{0}) + value.get<uint64_t>();
    }
    return total;
}

} // namespace tnl::corpus
