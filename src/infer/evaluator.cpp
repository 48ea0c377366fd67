#include "infer/evaluator.h"

#include <algorithm>

namespace tnl {
namespace {

DType logits_type(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_options(const Evaluator::Options& o) {
    TNL_CHECK(o.chunk >= 1 && o.sequences >= 1 && o.head_chunk >= 1,
              "chunk {}, sequences {}, head_chunk {}: wanted at least 1 each", o.chunk, o.sequences,
              o.head_chunk);
}

} // namespace

Evaluator::Evaluator(const Model& model, Device& device, Tensor weights, Options options)
    : model_(model), device_(device), kernels_(kernels_for(device)), weights_(weights),
      options_(options), activations_(Arena::measuring("")), scratch_(Arena::measuring("")),
      slopes_(upload_slopes(model.config(), device, logits_type(options.dtype))) {
    TNL_CHECK(weights.is({model.params().flat_size()}) && weights.dtype == options.dtype,
              "weights are {} {}, wanted {} [{}]", name_of(weights.dtype), weights.shape_string(),
              name_of(options.dtype), model.params().flat_size());
    check_options(options);
    const DType acc = logits_type(options.dtype);
    const ArenaSizes sizes = measure_loss(model, kernels_, options.dtype, options.chunk,
                                          options.sequences, options.head_chunk);
    activations_ = Arena("evaluation activations", device, sizes.activations.peak());
    scratch_ = Arena("evaluation scratch", device, sizes.scratch.peak());
    if (recurrent()) // as measure_loss does
        states_ = model.make_states(activations_, acc, options.sequences);
    ids_ = OwnedTensor(device, DType::i32, {options.chunk});
    positions_ = OwnedTensor(device, DType::i32, {options.chunk});
    targets_ = OwnedTensor(device, DType::i32, {options.chunk});
    loss_ = OwnedTensor(device, acc, {options.chunk});
}

size_t Evaluator::memory_bytes() const {
    return activations_.capacity() + scratch_.capacity() +
           static_cast<size_t>(3 * ids_.bytes() + loss_.bytes());
}

void Evaluator::check_tokens(std::span<const std::vector<int32_t>> documents) const {
    const ModelConfig& config = model_.config();
    for (size_t i = 0; i < documents.size(); ++i) {
        for (const int32_t token : documents[i])
            TNL_CHECK(token >= 0 && token < config.vocab_size,
                      "document {}: token id {}, wanted 0 to {}", i, token, config.vocab_size - 1);
        const auto inputs = static_cast<int64_t>(documents[i].size()) - 1;
        TNL_CHECK(config.position_embeddings == 0 || inputs <= config.position_embeddings,
                  "document {} has {} tokens; the model has learned positions up to {}", i, inputs,
                  config.position_embeddings);
        TNL_CHECK(recurrent() || inputs <= options_.chunk,
                  "document {} has {} tokens, a call takes {}: model_type llama has no state to "
                  "carry on with, wanted a chunk of at least the longest document's tokens",
                  i, inputs, options_.chunk);
    }
}

std::vector<DocumentLoss> Evaluator::losses(std::span<const std::vector<int32_t>> documents,
                                            std::span<const std::vector<uint8_t>> counted) {
    check_tokens(documents);
    TNL_CHECK(counted.empty() || counted.size() == documents.size(),
              "flags of {} documents for {} documents", counted.size(), documents.size());
    for (size_t d = 0; d < counted.size(); ++d)
        TNL_CHECK(counted[d].empty() || counted[d].size() == documents[d].size(),
                  "document {}: {} flags for {} tokens", d, counted[d].size(), documents[d].size());
    std::vector<DocumentLoss> out(documents.size());
    std::vector<Piece> pieces;
    int64_t used = 0;
    auto flush = [&] {
        if (!pieces.empty()) run_pieces(pieces, documents, counted, out);
        pieces.clear();
        used = 0;
    };
    for (size_t d = 0; d < documents.size(); ++d) {
        const int64_t inputs = static_cast<int64_t>(documents[d].size()) - 1;
        if (!recurrent() && used + inputs > options_.chunk) flush(); // whole documents only
        for (int64_t begin = 0; begin < inputs;) {
            const int64_t end = std::min(inputs, begin + options_.chunk - used);
            pieces.push_back({d, begin, end});
            used += end - begin;
            begin = end;
            if (used == options_.chunk || std::ssize(pieces) == options_.sequences) flush();
        }
    }
    flush();
    return out;
}

States Evaluator::prepare_states(std::span<const Piece> pieces) {
    States view;
    const auto n = static_cast<int64_t>(pieces.size());
    for (const Tensor& layer : states_.layers) {
        view.layers.push_back(layer.slice(0, 0, n));
        const Tensor fresh = layer.slice(0, pieces.front().begin > 0 ? 1 : 0, n);
        if (fresh.size()) device_.zero(fresh.data, static_cast<size_t>(fresh.bytes()));
    }
    return view;
}

void Evaluator::run_pieces(std::span<const Piece> pieces,
                           std::span<const std::vector<int32_t>> documents,
                           std::span<const std::vector<uint8_t>> counted,
                           std::vector<DocumentLoss>& out) {
    const auto counts = [&](size_t document, int64_t token) {
        return counted.empty() || counted[document].empty() ||
               counted[document][static_cast<size_t>(token)] != 0;
    };
    std::vector<int32_t> ids, positions, targets, offsets{0};
    for (const Piece& p : pieces) {
        const std::vector<int32_t>& tokens = documents[p.document];
        for (int64_t i = p.begin; i < p.end; ++i) {
            ids.push_back(tokens[static_cast<size_t>(i)]);
            targets.push_back(counts(p.document, i + 1) ? tokens[static_cast<size_t>(i + 1)] : -1);
            positions.push_back(static_cast<int32_t>(i));
        }
        offsets.push_back(static_cast<int32_t>(ids.size()));
    }
    const auto rows = static_cast<int64_t>(ids.size());
    const size_t bytes = ids.size() * sizeof(int32_t);
    device_.upload(ids_.data, ids.data(), bytes);
    device_.upload(positions_.data, positions.data(), bytes);
    device_.upload(targets_.data, targets.data(), bytes);
    Batch batch;
    batch.ids = ids_.slice(0, 0, rows);
    batch.positions = positions_.slice(0, 0, rows);
    batch.targets = targets_.slice(0, 0, rows);
    batch.cu_seqlens = Tensor(offsets.data(), DType::i32, {std::ssize(offsets)});
    batch.sequences = std::ssize(pieces);
    const States states = prepare_states(pieces);
    Run run{device_.stream(), kernels_, scratch_, options_.dtype, slopes_};
    const Tensor loss = loss_.slice(0, 0, rows);
    model_.loss(run, weights_, loss, batch, recurrent() ? passing(&states, &states) : Passing{},
                options_.head_chunk, activations_);
    // What the last document left is where the next call may carry on.
    if (pieces.size() > 1)
        for (const Tensor& layer : states.layers) {
            const Tensor last = layer.slice(0, batch.sequences - 1, batch.sequences);
            device_.copy(layer.data, last.data, static_cast<size_t>(last.bytes()));
        }
    std::vector<float> narrow(static_cast<size_t>(rows));
    std::vector<double> wide(static_cast<size_t>(rows));
    if (loss.dtype == DType::f64) {
        device_.download(wide.data(), loss.data, static_cast<size_t>(loss.bytes()));
    } else {
        device_.download(narrow.data(), loss.data, static_cast<size_t>(loss.bytes()));
        std::copy(narrow.begin(), narrow.end(), wide.begin());
    }
    size_t row = 0;
    for (const Piece& p : pieces) {
        DocumentLoss& d = out[p.document];
        for (int64_t i = p.begin; i < p.end; ++i, ++row) {
            d.nats += wide[row];
            d.tokens += targets[row] >= 0;
        }
    }
}

} // namespace tnl
