#include "infer/snapshot.h"

#include "model/safetensors.h"

#include <xxhash.h>

#include <numeric>

namespace tnl {
namespace {

constexpr const char* kFormat = "transnormer state 1";

std::string layer_name(size_t layer) { return fmt::format("state.{}", layer); }

// Tells one model from another: its config, and pieces of its weights from everywhere.
std::string fingerprint(const Session& session) {
    constexpr int64_t kPieces = 64, kBytes = 4096;
    const std::string config = model_config_json(session.model().config());
    const Tensor weights = session.weights();
    uint64_t hash = XXH3_64bits(config.data(), config.size());
    std::vector<std::byte> piece(static_cast<size_t>(std::min(kBytes, weights.bytes())));
    const auto room = weights.bytes() - static_cast<int64_t>(piece.size());
    for (int64_t i = 0; i < kPieces; ++i) {
        session.device().download(
            piece.data(), static_cast<const std::byte*>(weights.data) + room / (kPieces - 1) * i,
            piece.size());
        hash = XXH3_64bits_withSeed(piece.data(), piece.size(), hash);
    }
    return fmt::format("{:016x}", hash);
}

} // namespace

void save_snapshot(const std::filesystem::path& path, const Session& session, int64_t slot,
                   std::span<const int32_t> tokens) {
    TNL_CHECK(static_cast<int64_t>(tokens.size()) == session.length(slot),
              "{} tokens for a state that has seen {}", tokens.size(), session.length(slot));
    const std::vector<Tensor>& layers = session.states().layers;
    std::vector<TensorInfo> infos{{"tokens", "I32", {static_cast<int64_t>(tokens.size())}, 0, 0}};
    for (size_t l = 0; l < layers.size(); ++l)
        infos.push_back({layer_name(l),
                         std::string(safetensors_name(layers[l].dtype)),
                         {layers[l].shape[1], layers[l].shape[2], layers[l].shape[3]},
                         0,
                         0});
    SafetensorsWriter writer(path, infos,
                             {{"format", kFormat},
                              {"model", fingerprint(session)},
                              {"weights", std::string(name_of(session.options().dtype))}});
    std::vector<std::byte> bytes;
    for (const TensorInfo& info : writer.tensors()) {
        if (info.name == "tokens") {
            writer.write(tokens.data(), tokens.size_bytes());
            continue;
        }
        const size_t layer = std::stoul(info.name.substr(info.name.find('.') + 1));
        const Tensor state = layers[layer].slice(0, slot, slot + 1);
        bytes.resize(static_cast<size_t>(state.bytes()));
        session.device().download(bytes.data(), state.data, bytes.size());
        writer.write(bytes.data(), bytes.size());
    }
    writer.finish();
}

std::vector<int32_t> load_snapshot(const std::filesystem::path& path, Session& session,
                                   int64_t slot) {
    const SafetensorsFile file(path);
    const auto& metadata = file.header().metadata;
    const auto expect = [&](const char* key, const std::string& wanted, const char* means) {
        const auto at = metadata.find(key);
        const std::string found = at == metadata.end() ? "absent" : at->second;
        if (found != wanted)
            fail("{}: {} is {}, wanted {}: {}", path.string(), key, found, wanted, means);
    };
    expect("format", kFormat, "the file is no state of a sequence");
    expect("weights", std::string(name_of(session.options().dtype)),
           "the state was made in another dtype");
    expect("model", fingerprint(session), "the state is another model's");
    const std::vector<int64_t> wide = file.integers("tokens");
    std::vector<int32_t> tokens;
    const int64_t V = session.model().config().vocab_size;
    for (size_t i = 0; i < wide.size(); ++i) {
        if (wide[i] < 0 || wide[i] >= V)
            fail("{}: token {} is {}, wanted 0 to {}", path.string(), i, wide[i], V - 1);
        tokens.push_back(static_cast<int32_t>(wide[i]));
    }
    const std::vector<Tensor>& layers = session.states().layers;
    States states;
    std::vector<OwnedTensor> memory;
    for (size_t l = 0; l < layers.size(); ++l) {
        const TensorInfo& info = file.at(layer_name(l));
        const std::vector<int64_t> shape(layers[l].shape.begin() + 1, layers[l].shape.begin() + 4);
        if (info.shape != shape || info.dtype != safetensors_name(layers[l].dtype))
            fail("{}: {} is {} [{}], wanted {} [{}]", path.string(), info.name, info.dtype,
                 fmt::join(info.shape, ", "), safetensors_name(layers[l].dtype),
                 fmt::join(shape, ", "));
        memory.emplace_back(session.device(), layers[l].dtype,
                            std::initializer_list<int64_t>{1, shape[0], shape[1], shape[2]});
        const auto bytes = file.bytes(info);
        session.device().upload(memory.back().data, bytes.data(), bytes.size());
        states.layers.push_back(memory.back());
    }
    session.set_state(slot, states, 0, static_cast<int64_t>(tokens.size()));
    session.device().synchronize(); // before the memory goes
    return tokens;
}

} // namespace tnl
