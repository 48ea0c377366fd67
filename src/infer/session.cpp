#include "infer/session.h"

#include "ops/dry.h"
#include "ops/sample/sample.h"

#include <algorithm>
#include <numeric>

namespace tnl {
namespace {

DType acc_of(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_options(const Session::Options& options) {
    TNL_CHECK(options.slots >= 1, "a session of {} slots, wanted at least 1", options.slots);
    TNL_CHECK(options.chunk >= 1, "prefill chunk of {} tokens, wanted at least 1", options.chunk);
    TNL_CHECK(options.scored_rows >= 0 && options.scored_rows <= options.chunk,
              "{} rows of logits at once, wanted 0 to the chunk of {}", options.scored_rows,
              options.chunk);
}

// Scratch of one forward and one logits call: packed (`sequences` in `rows` tokens), or one token
// for each of `rows` sequences; `scored` rows of logits.
size_t dry_forward(const Model& model, const Kernels& kernels, DType dtype, int64_t rows,
                   int64_t sequences, int64_t scored, bool packed) {
    const ModelConfig& config = model.config();
    const Kernels none = dry_kernels(kernels);
    Arena scratch = Arena::measuring("scratch"), states_arena = Arena::measuring("states");
    Stream stream;
    Run run{
        stream, none, scratch, dtype,
        Tensor(nullptr, acc_of(dtype), {config.decoder_layers, config.decoder_attention_heads})};
    std::vector<int32_t> offsets(static_cast<size_t>(sequences + 1), 0);
    for (int64_t i = 0; i <= sequences; ++i)
        offsets[static_cast<size_t>(i)] = static_cast<int32_t>(rows * i / sequences);
    Batch batch;
    batch.ids = batch.positions = Tensor(nullptr, DType::i32, {rows});
    batch.sequences = sequences;
    if (packed) batch.cu_seqlens = Tensor(offsets.data(), DType::i32, {sequences + 1});
    const States states = model.make_states(states_arena, run.acc(), sequences);
    const Tensor weights(nullptr, dtype, {model.params().flat_size()});
    const Tensor h(nullptr, dtype, {rows, config.decoder_embed_dim});
    model.forward(run, weights, h, batch, passing(&states, &states), nullptr, nullptr);
    model.logits(run, weights, Tensor(nullptr, run.acc(), {scored, config.vocab_size}),
                 h.slice(0, 0, scored));
    return scratch.peak();
}

} // namespace

Session::Buffers::Buffers(Arena& arena, const Model& model, const Kernels& kernels,
                          const Options& options) {
    const int64_t C = model.config().decoder_embed_dim, N = rows(options), B = options.slots;
    ids = arena.tensor(DType::i32, {N}, "ids");
    positions = arena.tensor(DType::i32, {N}, "positions");
    picked = arena.tensor(DType::i32, {B}, "picked");
    h = arena.tensor(options.dtype, {N, C}, "h");
    last = arena.tensor(options.dtype, {B, C}, "last");
    logits = arena.tensor(acc_of(options.dtype),
                          {std::max(B, options.scored_rows), model.config().vocab_size}, "logits");
    step = arena.tensor(DType::i32, {2, B}, "step");
    chosen = arena.tensor(DType::i32, {B}, "chosen");
    const auto bytes =
        static_cast<int64_t>(kernels.decode_step_workspace(model.step_shape(options.dtype)));
    if (bytes > 0) step_workspace = arena.tensor(DType::u8, {bytes}, "step workspace");
    const int64_t V = model.config().vocab_size;
    const bool can = options.dtype != DType::f64 && V <= kMostTokens;
    if (!can || !options.samples.value_or(kernels.sample_pays(V))) return;
    choices = arena.tensor(DType::u8, {B * static_cast<int64_t>(sizeof(TokenChoice))}, "choices");
    changes = arena.tensor(
        DType::u8, {B * kMostChanges * static_cast<int64_t>(sizeof(TokenChange))}, "changes");
}

Session::Memory Session::measure(const Model& model, const Kernels& kernels,
                                 const Options& options) {
    check_options(options);
    Arena states = Arena::measuring("states"), buffers = Arena::measuring("buffers");
    model.make_states(states, acc_of(options.dtype), options.slots);
    const Buffers unused(buffers, model, kernels, options);
    const int64_t B = options.slots, N = rows(options);
    Memory memory{states.peak(), buffers.peak(), 0};
    for (const int64_t sequences : {int64_t{1}, B}) {
        const int64_t scored = std::max(sequences, options.scored_rows);
        memory.scratch = std::max(
            {memory.scratch, dry_forward(model, kernels, options.dtype, N, sequences, scored, true),
             dry_forward(model, kernels, options.dtype, sequences, sequences, sequences, false)});
    }
    return memory;
}

Session::Session(const Model& model, Device& device, Tensor weights, Options options)
    : model_(model), device_(device),
      kernels_(options.kernels ? *options.kernels : kernels_for(device)), weights_(weights),
      options_(options), memory_(measure(model, kernels_, options)),
      state_arena_("states", device, memory_.states),
      buffer_arena_("session buffers", device, memory_.buffers),
      scratch_("session scratch", device, memory_.scratch),
      states_(model.make_states(state_arena_, acc_of(options.dtype), options.slots)),
      buffers_(buffer_arena_, model, kernels_, options),
      slopes_(upload_slopes(model.config(), device, acc_of(options.dtype))),
      host_(device, DType::i32, {3, options.slots}, Place::host) {
    TNL_CHECK(weights.is({model.params().flat_size()}) && weights.dtype == options.dtype,
              "weights are {} {}, wanted {} [{}]", name_of(weights.dtype), weights.shape_string(),
              name_of(options.dtype), model.params().flat_size());
    lengths_.resize(static_cast<size_t>(options.slots));
    logits_.resize(static_cast<size_t>(options.slots * model.config().vocab_size));
    scored_.resize(static_cast<size_t>(options.scored_rows * model.config().vocab_size));
    if (options.dtype == DType::f64) wide_.resize(static_cast<size_t>(model.config().vocab_size));
    if (buffers_.step_workspace)
        device_.zero(buffers_.step_workspace.data,
                     static_cast<size_t>(buffers_.step_workspace.bytes()));
    if (samples())
        host_choices_ = OwnedTensor(
            device, DType::u8, {buffers_.choices.size() + buffers_.changes.size()}, Place::host);
    reset(0, options.slots);
}

void Session::reset(int64_t first, int64_t count) {
    TNL_CHECK(first >= 0 && count >= 0 && first + count <= options_.slots, "slots {} to {} of {}",
              first, first + count, options_.slots);
    for (const Tensor& layer : states_.layers) {
        const Tensor part = layer.slice(0, first, first + count);
        device_.zero(part.data, static_cast<size_t>(part.bytes()));
    }
    std::fill_n(lengths_.begin() + first, count, 0);
}

void Session::move(int64_t to, int64_t from) {
    if (to == from) return;
    for (const Tensor& layer : states_.layers) {
        const Tensor target = layer.slice(0, to, to + 1), source = layer.slice(0, from, from + 1);
        device_.copy(target.data, source.data, static_cast<size_t>(source.bytes()));
    }
    lengths_[static_cast<size_t>(to)] = lengths_[static_cast<size_t>(from)];
}

void Session::set_state(int64_t slot, const States& from, int64_t row, int64_t tokens) {
    TNL_CHECK(from.layers.size() == states_.layers.size(), "a state of {} layers, wanted {}",
              from.layers.size(), states_.layers.size());
    for (size_t l = 0; l < states_.layers.size(); ++l) {
        const Tensor target = states_.layers[l].slice(0, slot, slot + 1);
        const Tensor source = from.layers[l].slice(0, row, row + 1);
        TNL_CHECK(source.shape == target.shape && source.dtype == target.dtype,
                  "layer {}: state {} {}, wanted {} {}", l, name_of(source.dtype),
                  source.shape_string(), name_of(target.dtype), target.shape_string());
        device_.copy(target.data, source.data, static_cast<size_t>(source.bytes()));
    }
    set_length(slot, tokens);
}

std::span<const float> Session::logits(int64_t row) const {
    const int64_t V = model_.config().vocab_size;
    return {logits_.data() + row * V, static_cast<size_t>(V)};
}

Run Session::make_run() {
    return Run{device_.stream(), kernels_, scratch_, options_.dtype, slopes_};
}

States Session::slots_view(int64_t begin, int64_t end) const {
    States view;
    for (const Tensor& layer : states_.layers) view.layers.push_back(layer.slice(0, begin, end));
    return view;
}

void Session::check_tokens(std::span<const int32_t> tokens, int64_t first_position) const {
    const ModelConfig& config = model_.config();
    for (const int32_t token : tokens)
        TNL_CHECK(token >= 0 && token < config.vocab_size, "token id {}, wanted 0 to {}", token,
                  config.vocab_size - 1);
    const int64_t end = first_position + static_cast<int64_t>(tokens.size());
    TNL_CHECK(config.position_embeddings == 0 || end <= config.position_embeddings,
              "the sequence reaches {} tokens; the model has learned positions up to {}", end,
              config.position_embeddings);
    TNL_CHECK(end <= INT32_MAX, "the sequence reaches {} tokens; positions go up to {}", end,
              INT32_MAX);
}

void Session::prefill(int64_t first, std::span<const std::span<const int32_t>> texts) {
    prefill(first, texts, nullptr);
}

void Session::prefill(int64_t slot, std::span<const int32_t> text, const EachLogits& each) {
    TNL_CHECK(options_.scored_rows > 0,
              "this session keeps no logits of prompts: scored_rows is 0");
    prefill(slot, {&text, 1}, &each);
}

void Session::prefill(int64_t first, std::span<const std::span<const int32_t>> texts,
                      const EachLogits* each) {
    const auto count = static_cast<int64_t>(texts.size());
    TNL_CHECK(first >= 0 && first + count <= options_.slots, "slots {} to {} of {}", first,
              first + count, options_.slots);
    for (size_t i = 0; i < texts.size(); ++i) {
        TNL_CHECK(!texts[i].empty(), "prompt {} has no tokens", i);
        check_tokens(texts[i], length(first + static_cast<int64_t>(i)));
    }
    std::vector<Piece> pieces; // of one call: neighbouring slots, at most `chunk` tokens
    int64_t used = 0;
    auto flush = [&] {
        if (!pieces.empty()) run_pieces(pieces, texts, first, each);
        pieces.clear();
        used = 0;
    };
    for (int64_t i = 0; i < count; ++i) {
        const auto n = static_cast<int64_t>(texts[static_cast<size_t>(i)].size());
        for (int64_t begin = 0; begin < n; begin += options_.chunk) {
            const int64_t end = std::min(n, begin + options_.chunk);
            if (used + end - begin > options_.chunk) flush();
            pieces.push_back({first + i, begin, end, end == n});
            used += end - begin;
            // The next piece of this text needs the state that this one leaves.
            if (end < n) flush();
        }
    }
    flush();
}

void Session::run_pieces(std::span<const Piece> pieces,
                         std::span<const std::span<const int32_t>> texts, int64_t first,
                         const EachLogits* each) {
    ids_.clear();
    positions_.clear();
    picked_.clear();
    cu_seqlens_.assign(1, 0);
    std::vector<int64_t> to_rows;
    for (const Piece& p : pieces) {
        const auto text = texts[static_cast<size_t>(p.slot - first)];
        int64_t& length = lengths_[static_cast<size_t>(p.slot)];
        for (int64_t i = p.begin; i < p.end; ++i) {
            ids_.push_back(text[static_cast<size_t>(i)]);
            positions_.push_back(static_cast<int32_t>(length++));
        }
        cu_seqlens_.push_back(static_cast<int32_t>(ids_.size()));
        if (!p.last) continue;
        picked_.push_back(static_cast<int32_t>(ids_.size()) - 1);
        to_rows.push_back(p.slot - first);
    }
    const auto rows = static_cast<int64_t>(ids_.size());
    const auto sequences = static_cast<int64_t>(pieces.size());
    device_.upload(buffers_.ids.data, ids_.data(), ids_.size() * sizeof(int32_t));
    device_.upload(buffers_.positions.data, positions_.data(), positions_.size() * sizeof(int32_t));
    Batch batch;
    batch.ids = buffers_.ids.slice(0, 0, rows);
    batch.positions = buffers_.positions.slice(0, 0, rows);
    batch.cu_seqlens = Tensor(cu_seqlens_.data(), DType::i32, {sequences + 1});
    batch.sequences = sequences;
    const States states = slots_view(pieces.front().slot, pieces.back().slot + 1);
    const Tensor h = buffers_.h.slice(0, 0, rows);
    Run run = make_run();
    model_.forward(run, weights_, h, batch, passing(&states, &states), nullptr, nullptr);
    if (each) score_rows(h, pieces.front().begin, *each); // of one text
    if (to_rows.empty()) return;
    // A table lookup gathers the last rows.
    const auto wanted = static_cast<int64_t>(to_rows.size());
    device_.upload(buffers_.picked.data, picked_.data(), picked_.size() * sizeof(int32_t));
    const Tensor last = buffers_.last.slice(0, 0, wanted);
    kernels_.embed_forward(run.stream, last, h, buffers_.picked.slice(0, 0, wanted), 1);
    fetch_logits(last, to_rows);
}

void Session::fetch_logits(Tensor h, std::span<const int64_t> to_rows) {
    const auto n = static_cast<int64_t>(to_rows.size());
    const auto V = static_cast<size_t>(model_.config().vocab_size);
    Run run = make_run();
    const Tensor logits = buffers_.logits.slice(0, 0, n);
    model_.logits(run, weights_, logits, h);
    for (int64_t i = 0; i < n; ++i)
        download_logits(logits_.data() + static_cast<size_t>(to_rows[static_cast<size_t>(i)]) * V,
                        logits.slice(0, i, i + 1));
}

void Session::score_rows(Tensor h, int64_t begin, const EachLogits& each) {
    const auto V = static_cast<size_t>(model_.config().vocab_size);
    const int64_t rows = h.shape[0];
    for (int64_t at = 0; at < rows; at += options_.scored_rows) {
        const int64_t n = std::min(options_.scored_rows, rows - at);
        Run run = make_run();
        const Tensor logits = buffers_.logits.slice(0, 0, n);
        model_.logits(run, weights_, logits, h.slice(0, at, at + n));
        for (int64_t i = 0; i < n; ++i)
            download_logits(scored_.data() + static_cast<size_t>(i) * V, logits.slice(0, i, i + 1));
        each(begin + at, {scored_.data(), static_cast<size_t>(n) * V});
    }
}

void Session::download_logits(float* to, Tensor row) {
    const auto V = static_cast<size_t>(model_.config().vocab_size);
    if (row.dtype == DType::f32) {
        device_.download(to, row.data, V * sizeof(float));
        return;
    }
    device_.download(wide_.data(), row.data, V * sizeof(double));
    std::transform(wide_.begin(), wide_.end(), to, [](double x) { return static_cast<float>(x); });
}

} // namespace tnl
