// A model at work on some sequences: their recurrent states ("slots") and the memory of one call.
// Prompts go through the chunked form in pieces, so that memory is bounded whatever their length;
// then every token is one step of the recurrence, on the state in place. All memory is taken at
// construction, its size known from a dry run; nothing grows with the length of a sequence.
#pragma once

#include "model/model.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tnl {

class Session {
  public:
    struct Options {
        DType dtype = DType::f32;         // of the weights and activations
        int64_t slots = 1;                // sequences held at once
        int64_t chunk = 1024;             // tokens of one prefill call, at least 1
        const Kernels* kernels = nullptr; // null: the device's own
        // Rows of logits that exist at once where all of a prompt's are wanted (prefill's each),
        // at most chunk; 0: they are not.
        int64_t scored_rows = 0;
        // Whether the device draws tokens (decode_by_lot); absent: where that pays.
        std::optional<bool> samples{};
    };
    // weights: flat, options.dtype, on the device; model, device and weights must outlive this.
    Session(const Model& model, Device& device, Tensor weights, Options options);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // The memory that a session of these options takes beside the weights, in bytes.
    struct Memory {
        size_t states = 0;  // slots * ModelConfig::state_bytes()
        size_t buffers = 0; // token ids, activations, logits
        size_t scratch = 0; // inside a call
        size_t total() const { return states + buffers + scratch; }
    };
    static Memory measure(const Model& model, const Kernels& kernels, const Options& options);

    // Makes slots [first, first + count) empty sequences.
    void reset(int64_t first, int64_t count);
    // Slot `to` becomes what slot `from` is.
    void move(int64_t to, int64_t from);
    // A slot takes the state of sequence `row` of `from` (on the device, of the session's model and
    // dtype), `tokens` long.
    void set_state(int64_t slot, const States& from, int64_t row, int64_t tokens);
    // Tokens seen by a slot.
    int64_t length(int64_t slot) const { return lengths_[static_cast<size_t>(slot)]; }
    // Sets the number of tokens seen without touching the state: for benchmarks of long contexts.
    void set_length(int64_t slot, int64_t tokens) { lengths_[static_cast<size_t>(slot)] = tokens; }

    // Appends texts[i], any length >= 1, to the sequence of slot first + i. Each text is cut at
    // multiples of `chunk` from its own beginning, whatever its neighbours are, so that they do not
    // change its result. Then logits(i) are those after the last token of texts[i].
    void prefill(int64_t first, std::span<const std::span<const int32_t>> texts);
    // The same of one text; each(begin, rows) sees the logits after its tokens begin, begin + 1,
    // ... as rows of [V], in order; Options::scored_rows at a time.
    using EachLogits = std::function<void(int64_t begin, std::span<const float> rows)>;
    void prefill(int64_t slot, std::span<const int32_t> text, const EachLogits& each);
    // Appends tokens[i] to the sequence of slot i. Then logits(i) are those after it.
    void decode(std::span<const int32_t> tokens);

    // The same, and returns each slot's greedy choice, as Kernels::argmax has it (-1: none). Leaves
    // logits() alone: on a GPU they stay there.
    std::span<const int32_t> decode_greedily(std::span<const int32_t> tokens);

    // The same with each slot's token by lot, as Kernels::sample has it (-1: none); at most
    // most_changes() changes. Only where samples() holds.
    std::span<const int32_t> decode_by_lot(std::span<const int32_t> tokens,
                                           std::span<const TokenChoice> choices,
                                           std::span<const TokenChange> changes);
    bool samples() const { return static_cast<bool>(buffers_.choices); }
    int64_t most_changes() const { return kMostChanges * options_.slots; }

    // f32, [V], of the last call but those of decode_greedily and decode_by_lot.
    std::span<const float> logits(int64_t row) const;
    // After those: fetches a row of their logits.
    std::span<const float> fetch_logits(int64_t row);

    const Model& model() const { return model_; }
    Device& device() const { return device_; }
    Tensor weights() const { return weights_; }
    const Options& options() const { return options_; }
    const States& states() const { return states_; } // [slots,H,D,E] of every layer
    Memory memory() const { return memory_; }

  private:
    // Tensors of one call, on the device.
    struct Buffers {
        Tensor ids, positions;   // [rows] i32
        Tensor picked;           // [slots] i32: rows whose logits are wanted
        Tensor h, last;          // [rows,C], [slots,C]
        Tensor logits;           // [max(slots, scored_rows),V] acc
        Tensor step;             // [2,slots] i32: ids and positions of one token a slot
        Tensor chosen;           // [slots] i32
        Tensor choices, changes; // u8, of decode_by_lot; absent where there is none
        Tensor step_workspace;   // u8, of a step as one call; absent where there is none
        Buffers(Arena& arena, const Model& model, const Kernels& kernels, const Options& options);
    };
    // A part of one text that goes into one call.
    struct Piece {
        int64_t slot, begin, end;
        bool last;
    };
    static int64_t rows(const Options& options) { return std::max(options.chunk, options.slots); }
    void check_tokens(std::span<const int32_t> tokens, int64_t first_position) const;
    void run_pieces(std::span<const Piece> pieces, std::span<const std::span<const int32_t>> texts,
                    int64_t first, const EachLogits* each);
    void prefill(int64_t first, std::span<const std::span<const int32_t>> texts,
                 const EachLogits* each);
    States slots_view(int64_t begin, int64_t end) const;
    Run make_run();
    // A step of slots [0, B), tokens as decode has them; the first of its kind runs as it is, the
    // next are replayed. choose: with the greedy choice.
    void run_step(std::span<const int32_t> tokens, bool choose);
    void step(int64_t B, bool choose);
    void record_or_replay(int64_t B, bool choose);
    void fetch_logits(Tensor h, std::span<const int64_t> to_rows);
    void score_rows(Tensor h, int64_t begin, const EachLogits& each);
    void download_logits(float* to, Tensor row);

    const Model& model_;
    Device& device_;
    const Kernels& kernels_;
    Tensor weights_;
    Options options_;
    Memory memory_;
    Arena state_arena_, buffer_arena_, scratch_;
    States states_;
    Buffers buffers_;
    OwnedTensor slopes_;
    static constexpr int64_t kMostChanges = 4096; // a slot, on average
    OwnedTensor host_; // [3,slots] i32, in the host's memory: ids, positions, choices of a step
    struct Step {
        bool ran = false;
        std::unique_ptr<Recording> recorded;
    };
    // Each takes some of a GPU's memory, a node for each kernel.
    static constexpr size_t kMostRecordings = 32;
    std::map<std::pair<int64_t, bool>, Step> steps_; // of (B, choose)
    OwnedTensor host_choices_;     // in the host's memory, as Buffers::choices and changes
    std::vector<int64_t> lengths_; // per slot
    std::vector<int32_t> ids_, positions_, cu_seqlens_, picked_; // host side of a call
    std::vector<float> logits_;                                  // [slots,V]
    std::vector<float> scored_;                                  // [scored_rows,V]
    std::vector<double> wide_;                                   // [V], f64 runs only
};

} // namespace tnl
