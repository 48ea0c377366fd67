#include "model/tensor_files.h"

#include "base/check.h"
#include "base/json.h"
#include "model/torch_file.h"

#include <map>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kTorch = "pytorch_model.bin";
constexpr const char* kTorchIndex = "pytorch_model.bin.index.json";

} // namespace

bool TensorFiles::present(const fs::path& directory) {
    for (const char* name : {kIndex, kSingle, kTorchIndex, kTorch})
        if (fs::exists(directory / name)) return true;
    return false;
}

TensorFiles::TensorFiles(const fs::path& directory) {
    if (!fs::is_directory(directory))
        fail("{}: is no directory, wanted one with config.json and {}", directory.string(),
             kSingle);
    for (const auto& [index, single] : {std::pair{kIndex, kSingle}, {kTorchIndex, kTorch}}) {
        if (fs::exists(directory / index)) {
            open_index(directory / index);
        } else if (fs::exists(directory / single)) {
            const TensorFile* file = open(directory / single);
            name_ = file->name();
            for (const TensorInfo& t : file->tensors()) places_.push_back({file, &t});
        } else {
            continue;
        }
        for (size_t i = 0; i < places_.size(); ++i) index_[places_[i].info->name] = i;
        return;
    }
    fail("{}: has neither {} nor {}, nor {}", directory.string(), kSingle, kIndex, kTorch);
}

const TensorFile* TensorFiles::open(const fs::path& file) {
    if (file.extension() == ".bin")
        files_.push_back(std::make_unique<TorchFile>(file));
    else
        files_.push_back(std::make_unique<SafetensorsFile>(file));
    return files_.back().get();
}

void TensorFiles::open_index(const fs::path& index) {
    name_ = index.string();
    const fs::path directory = index.parent_path();
    const Json json = parse_json_file(name_);
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
        fail("{}: has no object \"weight_map\"", name_);
    std::map<std::string, const TensorFile*> shards;
    for (const auto& [tensor, shard] : json["weight_map"].items()) {
        if (!shard.is_string())
            fail("{}: weight_map of \"{}\" is {}, wanted a file name", name_, tensor,
                 json_excerpt(shard));
        const auto file = shard.get<std::string>();
        if (file.empty() || fs::path(file).filename() != file || file == "." || file == "..")
            fail("{}: weight_map of \"{}\" is \"{}\", wanted a file name in the same directory",
                 name_, tensor, file);
        const TensorFile*& opened = shards[file];
        if (!opened) {
            if (!fs::exists(directory / file))
                fail("{}: shard {} is missing", name_, (directory / file).string());
            opened = open(directory / file);
        }
        const TensorInfo* info = opened->find(tensor);
        if (!info) fail("{}: tensor \"{}\" is not in {}", name_, tensor, opened->name());
        places_.push_back({opened, info});
    }
    for (const auto& [file, opened] : shards)
        for (const TensorInfo& t : opened->tensors()) {
            const auto mapped = json["weight_map"].find(t.name);
            if (mapped == json["weight_map"].end() || *mapped != file)
                fail("{}: tensor \"{}\" of {} is not mapped to that file", name_, t.name, file);
        }
}

TensorFiles::Place TensorFiles::find(const std::string& tensor) const {
    const auto found = index_.find(tensor);
    return found == index_.end() ? Place{} : places_[found->second];
}

void write_tensor_files(const fs::path& directory, const std::vector<TensorInfo>& tensors,
                        uint64_t max_shard_bytes,
                        const std::function<void(SafetensorsWriter&, const TensorInfo&)>& fill) {
    std::vector<std::vector<TensorInfo>> shards(1);
    uint64_t total = 0, used = 0;
    for (const TensorInfo& t : tensors) {
        const uint64_t bytes = safetensors_bytes(t, directory.string());
        if (!shards.back().empty() && used + bytes > max_shard_bytes) {
            shards.emplace_back();
            used = 0;
        }
        shards.back().push_back(t);
        used += bytes;
        total += bytes;
    }
    Json index;
    index["metadata"]["total_size"] = total;
    std::map<std::string, std::string> map; // sorted, as transformers writes it
    for (size_t i = 0; i < shards.size(); ++i) {
        const std::string file =
            shards.size() == 1
                ? kSingle
                : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
        SafetensorsWriter writer(directory / file, shards[i]);
        for (const TensorInfo& t : writer.tensors()) {
            fill(writer, t);
            map[t.name] = file;
        }
        writer.finish();
    }
    if (shards.size() == 1) return;
    index["weight_map"] = map;
    write_file_atomic(directory / kIndex, index.dump(2) + "\n");
}

} // namespace tnl
