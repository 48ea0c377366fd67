#include "model/adapter.h"

#include "base/json.h"
#include "model/checkpoint.h"
#include "model/convert.h"

#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <set>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kWeights = "adapter_model.safetensors";
constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kChecksum = "base_checksum"; // of the file's metadata

// Fields of adapter_config.json that would change what is computed, with the values that do not.
void check_plain(const Json& json, const std::string& file) {
    const std::pair<const char*, Json> plain[] = {{"bias", "none"},
                                                  {"fan_in_fan_out", false},
                                                  {"use_rslora", false},
                                                  {"use_dora", false},
                                                  {"lora_bias", false},
                                                  {"rank_pattern", Json::object()},
                                                  {"alpha_pattern", Json::object()},
                                                  {"modules_to_save", nullptr},
                                                  {"layers_to_transform", nullptr}};
    for (const auto& [field, wanted] : plain) {
        const auto found = json.find(field);
        if (found == json.end() || found->is_null() || *found == wanted) continue;
        if (found->empty() && !found->is_boolean()) continue;
        fail("{}: {} is {}, wanted {}: this program computes plain LoRA", file, field,
             json_excerpt(*found), wanted.dump());
    }
}

LoraOptions read_options(const fs::path& directory, AdapterBase& base) {
    const fs::path path = directory / kConfig;
    const std::string file = path.string();
    if (!fs::exists(path))
        fail("{}: is no adapter: wanted a directory with {} and {}", directory.string(), kConfig,
             kWeights);
    const Json json = parse_json_file(path);
    const JsonFields fields(json, file);
    if (const std::string type = fields.text("peft_type"); type != "LORA")
        fail("{}: peft_type is \"{}\", wanted \"LORA\"", file, type);
    check_plain(json, file);
    LoraOptions out;
    out.rank = fields.whole("r", 1);
    out.alpha = fields.number("lora_alpha");
    const Json& targets = fields.at("target_modules");
    TNL_CHECK(targets.is_array() && !targets.empty(),
              "{}: target_modules is {}, wanted a list of names of linear layers", file,
              json_excerpt(targets));
    for (const Json& target : targets) {
        TNL_CHECK(target.is_string(), "{}: target_modules: {}, wanted a name", file,
                  json_excerpt(target));
        out.targets.push_back(target.get<std::string>());
    }
    const auto found = json.find("base_model_name_or_path");
    if (found != json.end() && found->is_string()) base.path = found->get<std::string>();
    return out;
}

std::string file_name_of(const Param& param) { return kPrefix + param.name; }

} // namespace

std::string weights_checksum(const fs::path& directory) {
    const TensorFiles files(directory);
    std::vector<TensorFiles::Place> places = files.all();
    std::sort(places.begin(), places.end(),
              [](const auto& a, const auto& b) { return a.info->name < b.info->name; });
    const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                                XXH3_freeState);
    XXH3_64bits_reset(state.get());
    for (const TensorFiles::Place& place : places) {
        const std::string what = fmt::format("{} {} {};", place.info->name, place.info->dtype,
                                             place.info->shape_string());
        const auto bytes = place.file->bytes(*place.info);
        XXH3_64bits_update(state.get(), what.data(), what.size());
        XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
    }
    return fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
}

Adapter::Adapter(const fs::path& directory)
    : directory_(directory), lora_(read_options(directory, base_)), file_(directory / kWeights) {
    const auto& metadata = file_.header().metadata;
    if (const auto found = metadata.find(kChecksum); found != metadata.end())
        base_.checksum = found->second;
}

TensorFiles::Place Adapter::place_of(const Param& param) const {
    const TensorInfo* info = file_.find(file_name_of(param));
    if (info == nullptr) return {};
    if (info->shape != param.shape || !info->type() || !is_float(*info->type()))
        fail("{}: tensor \"{}\" is {} {}, wanted floats [{}]", file_.name(), info->name,
             info->dtype, info->shape_string(), fmt::join(param.shape, ", "));
    return {&file_, info};
}

void Adapter::check(const Model& model) const {
    const ParamTable& table = model.params();
    std::set<std::string> known;
    std::vector<std::string> missing;
    for (const Param& p : table.adapters()) {
        known.insert(file_name_of(p));
        if (!place_of(p)) missing.push_back(file_name_of(p));
    }
    if (!missing.empty())
        fail("{}: {} tensors are missing that the model and {} ask for: {}", file_.name(),
             missing.size(), kConfig, fmt::join(missing, ", "));
    for (const TensorInfo& t : file_.tensors())
        if (!known.contains(t.name))
            fail("{}: tensor \"{}\" is unknown to the model", file_.name(), t.name);
}

void Adapter::load(const Model& model, const Tensor& flat, Device& device) const {
    const ParamTable& table = model.params();
    TNL_CHECK(flat.is({table.flat_size()}), "flat buffer has shape {}, wanted [{}]",
              flat.shape_string(), table.flat_size());
    check(model);
    ThreadPool& threads = *device.stream().threads;
    std::vector<std::byte> host;
    for (const Param& p : table.adapters()) {
        host.resize(static_cast<size_t>(p.size * size_of(flat.dtype)));
        read_elements(place_of(p), 0, p.size, flat.dtype, host.data(), threads);
        device.upload(static_cast<std::byte*>(flat.data) + p.offset * size_of(flat.dtype),
                      host.data(), host.size());
        device.synchronize(); // before the host's copy is used again
    }
}

std::vector<float> Adapter::floats(const TensorFiles::Place& place, ThreadPool& threads) const {
    std::vector<float> out(static_cast<size_t>(place.info->size()));
    read_elements(place, 0, place.info->size(), DType::f32, out.data(), threads);
    return out;
}

void Adapter::merge(const Param& weight, int64_t begin, int64_t end, float* values,
                    ThreadPool& threads) const {
    constexpr std::string_view kEnd = ".weight";
    if (weight.shape.size() != 2 || !weight.name.ends_with(kEnd)) return;
    const std::string layer = weight.name.substr(0, weight.name.size() - kEnd.size());
    const int64_t rows = weight.shape[0], cols = weight.shape[1], rank = lora_.rank;
    if (file_.find(kPrefix + layer + ".lora_A.weight") == nullptr) return;
    const auto matrix = [&](const char* which, std::vector<int64_t> shape) {
        Param param;
        param.name = layer + which;
        param.shape = std::move(shape);
        const TensorFiles::Place place = place_of(param);
        if (!place) fail("{}: tensor \"{}\" is missing", file_.name(), file_name_of(param));
        return floats(place, threads);
    };
    const std::vector<float> a = matrix(".lora_A.weight", {rank, cols}),
                             b = matrix(".lora_B.weight", {rows, rank});
    const float scale = lora_.scale();
    threads.parallel_for(end - begin, int64_t{1} << 14, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) {
            const int64_t row = (begin + i) / cols, col = (begin + i) % cols;
            float sum = 0;
            for (int64_t r = 0; r < rank; ++r)
                sum +=
                    b[static_cast<size_t>(row * rank + r)] * a[static_cast<size_t>(r * cols + col)];
            values[i] += scale * sum;
        }
    });
}

void write_adapter(const fs::path& directory, const Model& model, const Tensor& trained,
                   Device& device, const AdapterBase& base) {
    const ParamTable& table = model.params();
    std::vector<TensorInfo> tensors;
    // As they were asked for: they may name one layer alone. PEFT matches by endings, as we do.
    const std::vector<std::string>& asked = model.lora().targets;
    std::set<std::string> targets(asked.begin(), asked.end());
    for (const Param& p : table.adapters()) {
        tensors.push_back({file_name_of(p), "F32", p.shape, 0, 0});
        if (!asked.empty()) continue;
        // "model.layers.0.token_mixer.out_proj.lora_A.weight": out_proj
        std::string layer = p.name.substr(0, p.name.rfind(".lora_"));
        for (int dots = 0; dots < 4; ++dots) layer.erase(0, layer.find('.') + 1);
        targets.insert(layer);
    }
    std::map<std::string, std::string> metadata = {{"format", "pt"}};
    if (!base.checksum.empty()) metadata[kChecksum] = base.checksum;
    SafetensorsWriter writer(directory / kWeights, tensors, metadata);
    const int64_t width = size_of(trained.dtype);
    std::vector<std::byte> stored;
    std::vector<float> host;
    for (const TensorInfo& t : writer.tensors()) {
        const Param& p = table[table.find(t.name.substr(std::string_view(kPrefix).size()))];
        host.resize(static_cast<size_t>(p.size));
        stored.resize(static_cast<size_t>(p.size * width));
        device.download(stored.data(),
                        static_cast<const std::byte*>(trained.data) +
                            (p.offset - table.trained_begin()) * width,
                        stored.size());
        const int64_t bad =
            convert_floats(DType::f32, host.data(), trained.dtype, stored.data(), p.size);
        if (bad >= 0)
            fail("parameter {} holds {} at index {}: not saved", p.name,
                 host[static_cast<size_t>(bad)], bad);
        writer.write(host.data(), host.size() * sizeof(float));
    }
    writer.finish();
    Json json;
    json["peft_type"] = "LORA";
    json["task_type"] = "CAUSAL_LM";
    json["base_model_name_or_path"] = base.path;
    json["r"] = model.lora().rank;
    json["lora_alpha"] = model.lora().alpha;
    json["lora_dropout"] = 0.0;
    json["target_modules"] = targets;
    json["bias"] = "none";
    json["fan_in_fan_out"] = false;
    json["inference_mode"] = true;
    write_file_atomic(directory / kConfig, json.dump(2) + "\n");
}

} // namespace tnl
