#include "cli/inspect.h"
#include "infer/session.h"
#include "train/learner.h"
#include "train/progress.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>

namespace tnl {
namespace {

std::string variant_of(const ModelConfig& c) {
    if (c.is_llama()) return "LLaMA";
    return c.low_rank_gate() ? "TNL3" : "TransNormerLLM";
}

// ---- parameters ----

std::string init_of(const Param& p, const ModelConfig& config) {
    switch (p.init) {
    case Init::normal:
        return fmt::format("normal {}", config.init_std);
    case Init::zeros:
        return "zeros";
    case Init::ones:
        return "ones";
    case Init::lrpe_theta:
        return "LRPE angles";
    case Init::narrow:
        return "uniform, 1 / sqrt(columns)";
    }
    return "?";
}

// "0-23", "0,2,4-5"
std::string ranges(const std::vector<int64_t>& numbers) {
    std::string out;
    for (size_t i = 0; i < numbers.size();) {
        size_t end = i + 1;
        while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
        out += fmt::format("{}{}", out.empty() ? "" : ",", numbers[i]);
        if (end > i + 1) out += fmt::format("-{}", numbers[end - 1]);
        i = end;
    }
    return out;
}

struct Line {
    std::string before, after; // of the layer's number in the name; before alone outside layers
    std::vector<int64_t> layers;
    const Param* first = nullptr;
    std::string name() const {
        if (layers.empty()) return before;
        if (layers.size() == 1) return fmt::format("{}{}{}", before, layers[0], after);
        return fmt::format("{}{{{}}}{}", before, ranges(layers), after);
    }
    int64_t times() const { return std::max<int64_t>(1, std::ssize(layers)); }
};

Line line_of(const Param& p) {
    constexpr std::string_view kLayers = "model.layers.";
    Line line{p.name, "", {}, &p};
    if (!p.name.starts_with(kLayers)) return line;
    const size_t dot = p.name.find('.', kLayers.size());
    line.before = kLayers;
    line.after = p.name.substr(dot);
    line.layers = {std::stoll(p.name.substr(kLayers.size(), dot - kLayers.size()))};
    return line;
}

// The same parameter of several layers is one line.
std::vector<Line> fold(const ParamTable& table, bool all) {
    std::vector<Line> lines;
    std::map<std::string, size_t> seen;
    for (const Param& p : table.all()) {
        Line line = line_of(p);
        const std::string key =
            fmt::format("{}#{}{}", line.before, line.after, fmt::join(p.shape, ","));
        if (const auto [at, fresh] = seen.emplace(key, lines.size()); fresh || all)
            lines.push_back(std::move(line));
        else
            lines[at->second].layers.push_back(line.layers.front());
    }
    return lines;
}

void add_parameters(Inspection& out, const Model& model, bool all) {
    const ModelConfig& c = model.config();
    const std::vector<Line> lines = fold(model.params(), all);
    size_t name = 0, shape = 5;
    for (const Line& line : lines) {
        name = std::max(name, line.name().size());
        shape = std::max(shape, fmt::format("[{}]", fmt::join(line.first->shape, ", ")).size());
    }
    out.text += fmt::format("\nparameters\n  {:<{}}  {:<{}}  {:>14}  {:<12}  decay\n", "name", name,
                            "shape", shape, "count", "init");
    for (const Line& line : lines) {
        const Param& p = *line.first;
        const std::string count = line.times() > 1 ? fmt::format("{} x {}", line.times(), p.size)
                                                   : std::to_string(p.size);
        out.text += fmt::format("  {:<{}}  {:<{}}  {:>14}  {:<12}  {}\n", line.name(), name,
                                fmt::format("[{}]", fmt::join(p.shape, ", ")), shape, count,
                                init_of(p, c), p.decay ? "yes" : "no");
    }
    out.text += fmt::format("  {:<{}}  {:<{}}  {:>14}\n", "together", name, "", shape,
                            model.params().parameter_count());
    Json list = Json::array();
    for (const Param& p : model.params().all())
        list.push_back({{"name", p.name},
                        {"shape", p.shape},
                        {"count", p.size},
                        {"init", init_of(p, c)},
                        {"decay", p.decay}});
    out.json["parameter_count"] = model.params().parameter_count();
    out.json["parameters"] = std::move(list);
}

// ---- config ----

struct ConfigLines {
    std::string& text;
    const ModelConfig& config;
    template <class T> void operator()(const char* name, const T& value, const char* help) const {
        if (!config.applies(name)) return;
        std::string written;
        if constexpr (std::is_same_v<T, DecayLaw>)
            written = name_of(value);
        else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
            written = lrpe(value);
        else
            written = fmt::format("{}", value);
        text += fmt::format("  {:<24} {:<14} {}\n", name, written, help);
    }
    // Which layers, rather than a list as long as the model is deep.
    static std::string lrpe(const std::vector<int64_t>& use) {
        std::vector<int64_t> layers;
        for (size_t l = 0; l < use.size(); ++l)
            if (use[l] != 0) layers.push_back(static_cast<int64_t>(l));
        if (use.empty()) return "layer 0";
        return layers.empty() ? "no layer" : "layers " + ranges(layers);
    }
};

void add_config(Inspection& out, ModelConfig config) {
    out.text += fmt::format("\nconfig\n");
    config.fields(ConfigLines{out.text, config});
    out.json["variant"] = variant_of(config);
    out.json["config"] = Json::parse(model_config_json(config));
}

// ---- memory ----

using Lines = std::vector<std::pair<std::string, size_t>>;

size_t total(const Lines& lines) {
    size_t sum = 0;
    for (const auto& [name, bytes] : lines) sum += bytes;
    return sum;
}

Json lines_json(const Lines& lines) {
    Json out;
    for (const auto& [name, bytes] : lines) out[name] = bytes;
    out["total"] = total(lines);
    return out;
}

// What a GPU has in use before the first allocation: the driver, CUDA's libraries, other programs.
Lines::value_type in_use(const Device& device) {
    return {"in use before", device.memory_total() - device.memory_free()};
}

void add_training(Inspection& out, const Model& model, Device& device, const std::string& dtype,
                  int64_t rows, int64_t length) {
    const ModelConfig& m = model.config();
    if (rows >= (int64_t{1} << 31) / length)
        throw UsageError(
            fmt::format("--batch {} --length {}: wanted a product below 2^31", rows, length));
    if (m.position_embeddings > 0 && length > m.position_embeddings)
        throw UsageError(fmt::format("--length {}: the model has learned positions up to {}",
                                     length, m.position_embeddings));
    TrainConfig config;
    config.model = m;
    config.train.rows = rows;
    config.train.length = length;
    config.train.dtype = dtype;
    const std::array choices{Recomputation::none, Recomputation::glu, Recomputation::block};
    std::array<Lines, choices.size()> plans;
    for (size_t i = 0; i < choices.size(); ++i) {
        config.train.recompute = choices[i];
        plans[i] = plan_memory(config, model, device).lines;
        if (device.kind() != DeviceKind::cpu) plans[i].push_back(in_use(device));
    }

    out.text += fmt::format("\nmemory to train on micro-batches of {} x {} tokens in {}\n"
                            "  {:<20}",
                            rows, length, dtype, "train.recompute =");
    for (const Recomputation choice : choices) out.text += fmt::format("  {:>14}", name_of(choice));
    const auto add = [&](const std::string& name, auto&& bytes) {
        out.text += fmt::format("\n  {:<20}", name);
        for (const Lines& lines : plans)
            out.text += fmt::format("  {:>14}", format_bytes(static_cast<double>(bytes(lines))));
    };
    for (size_t i = 0; i < plans[0].size(); ++i)
        add(plans[0][i].first, [i](const Lines& lines) { return lines[i].second; });
    add("together", total);
    out.text += '\n';
    Json& training = out.json["memory"]["training"];
    training["batch"] = rows;
    training["length"] = length;
    training["dtype"] = dtype;
    for (size_t i = 0; i < choices.size(); ++i)
        training[fmt::format("recompute_{}", name_of(choices[i]))] = lines_json(plans[i]);
}

void add_inference(Inspection& out, const Model& model, Device& device, DType dtype, int64_t slots,
                   int64_t chunk) {
    const Session::Memory memory =
        Session::measure(model, kernels_for(device), {dtype, slots, chunk, nullptr});
    const WeightFormats& formats = model.config().weights;
    const std::string_view kept = formats.quantized() ? name_of(formats.layers) : name_of(dtype);
    const Lines lines = {{fmt::format("weights, {}", kept),
                          static_cast<size_t>(model.params().flat_size() * size_of(dtype))},
                         {"states, f32", memory.states},
                         {"buffers", memory.buffers},
                         {"scratch", memory.scratch}};
    out.text +=
        fmt::format("\nmemory to generate {} sequence{} at once in {}, prefill in pieces of "
                    "{} tokens\n",
                    slots, slots == 1 ? "" : "s", name_of(dtype), chunk);
    for (const auto& [name, bytes] : lines)
        out.text +=
            fmt::format("  {:<20}  {:>14}\n", name, format_bytes(static_cast<double>(bytes)));
    out.text += fmt::format("  {:<20}  {:>14}\n", "together",
                            format_bytes(static_cast<double>(total(lines))));
    Json& inference = out.json["memory"]["inference"];
    inference["slots"] = slots;
    inference["chunk"] = chunk;
    inference["dtype"] = std::string(name_of(dtype));
    inference.update(lines_json(lines));
}

} // namespace

std::string format_bytes(double bytes) {
    constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
        bytes /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{:.0f} B", bytes)
                     : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

void inspect_presets(Inspection& out) {
    out.text +=
        fmt::format("{:<10} {:>14}  {:>6} {:>6} {:>5} {:>6} {:>10} {:>10}  variant\n", "preset",
                    "parameters", "layers", "width", "heads", "glu", "vocabulary", "state");
    out.json["presets"] = Json::array();
    for (const std::string& name : model_preset_names()) {
        const ModelConfig c = model_preset(name);
        out.text +=
            fmt::format("{:<10} {:>14}  {:>6} {:>6} {:>5} {:>6} {:>10} {:>10}  {}\n", name,
                        c.parameter_count(), c.decoder_layers, c.decoder_embed_dim,
                        c.decoder_attention_heads, c.glu_width(), c.vocab_size,
                        c.is_llama() ? "none" : format_bytes(static_cast<double>(c.state_bytes())),
                        variant_of(c));
        out.json["presets"].push_back({{"name", name},
                                       {"variant", variant_of(c)},
                                       {"parameter_count", c.parameter_count()},
                                       {"state_bytes_per_sequence", c.state_bytes()},
                                       {"config", Json::parse(model_config_json(c))}});
    }
    out.text +=
        "state: of one sequence, f32, whatever its length. More: transnormer inspect PRESET\n";
}

void inspect_model(Inspection& out, const ModelConfig& config, const InspectOptions& o) {
    const Model model(config, o.lora);
    const auto device = make_device(o.device);
    const std::string dtype =
        o.dtype.value_or(dtype_from_name(config.torch_dtype) == DType::bf16 ? "bf16" : "f32");
    out.text += fmt::format("model       {} with {} parameters: {} layers, width {}, {} heads, "
                            "vocabulary {}\n",
                            variant_of(config), count_of(model.params().parameter_count()),
                            config.decoder_layers, config.decoder_embed_dim,
                            config.decoder_attention_heads, config.vocab_size);
    if (config.weights.quantized())
        out.text += fmt::format("weights     layers in {}, head in {}, for inference alone\n",
                                name_of(config.weights.layers), name_of(config.weights.head));
    out.text += config.is_llama()
                    ? "state       none: softmax attention reads all of a sequence again\n"
                    : fmt::format("state       {} ({} bytes) per sequence, whatever its length\n",
                                  format_bytes(static_cast<double>(config.state_bytes())),
                                  config.state_bytes());
    out.text += fmt::format("measured    for {}, {} of {} free\n", device->name(),
                            format_bytes(static_cast<double>(device->memory_free())),
                            format_bytes(static_cast<double>(device->memory_total())));
    out.json["state_bytes_per_sequence"] = config.state_bytes();
    out.json["device"] = device->name();
    if (o.lora.rank > 0)
        out.text += fmt::format("adapters    of rank {}: {} parameters, which alone are trained\n",
                                o.lora.rank, count_of(model.params().trained_count()));
    add_config(out, config);
    add_parameters(out, model, o.all);
    if (!config.weights.quantized())
        add_training(out, model, *device, dtype, o.rows.value_or(8), o.length.value_or(512));
    if (!config.is_llama()) // not generated from here
        add_inference(out, model, *device, dtype_from_name(dtype), o.slots, o.chunk);
}

} // namespace tnl
