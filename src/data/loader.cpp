#include "data/loader.h"

#include "base/check.h"
#include "base/rng.h"

#include <algorithm>
#include <bit>

namespace tnl {

int64_t permute(int64_t i, int64_t n, uint64_t key) {
    TNL_CHECK(i >= 0 && i < n, "position {} of a permutation of {}", i, n);
    if (n == 1) return 0;
    const int half = (static_cast<int>(std::bit_width(static_cast<uint64_t>(n - 1))) + 1) / 2;
    const uint64_t mask = (uint64_t{1} << half) - 1;
    auto x = static_cast<uint64_t>(i);
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < 4; ++round) {
            const uint64_t mixed = Philox{key, round}.block(right).x[0];
            const uint64_t next = left ^ (mixed & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= static_cast<uint64_t>(n));
    return static_cast<int64_t>(x);
}

Loader::Loader(const ShardSet& shards, LoaderOptions options, LoaderState state)
    : shards_(shards), options_(options), state_(state) {
    const int64_t T = options.row_tokens;
    TNL_CHECK(T >= 1, "rows of {} tokens, wanted at least 1", T);
    TNL_CHECK(options.pieces >= 1 && T % options.pieces == 0,
              "rows of {} tokens in {} pieces, wanted pieces of equal size", T, options.pieces);
    TNL_CHECK(state.piece >= 0 && state.piece < options.pieces,
              "loader state of piece {}, the rows have {}", state.piece, options.pieces);
    // With any offset below T there is room for this many rows and the target after the last.
    rows_ = (shards.tokens() - 1) / T - (options.shuffle ? 1 : 0);
    if (rows_ < 1 && shards.tokens() > T) {
        rows_ = 1; // a corpus of little more than one row: no offset
        options_.shuffle = false;
    }
    if (rows_ < 1)
        fail("the corpus has {} tokens, too few for one row of {} and its target; wanted a shorter "
             "row or more text",
             shards.tokens(), T);
    TNL_CHECK(state.epoch >= 0 && state.epoch < int64_t{1} << 62 && state.cursor >= 0 &&
                  state.cursor <= rows_,
              "loader state of epoch {}, row {} of {}; was it saved over another corpus or row "
              "length?",
              state.epoch, state.cursor, rows_);
}

int64_t Loader::row_begin(int64_t epoch, int64_t cursor) const {
    const int64_t T = options_.row_tokens;
    if (!options_.shuffle) return cursor * T;
    const Philox random{state_.seed, static_cast<uint64_t>(epoch)};
    const auto offset = static_cast<int64_t>(random.below(0, static_cast<uint64_t>(T)));
    const Philox::Block key = random.block(1);
    return offset + T * permute(cursor, rows_, uint64_t{key.x[0]} << 32 | key.x[1]);
}

void Loader::next(int64_t rows, TokenRows& out) {
    TNL_CHECK(rows >= 1, "a batch of {} rows", rows);
    out.ids.clear();
    out.targets.clear();
    out.positions.clear();
    out.cu_seqlens.assign(1, 0);
    out.counted = 0;
    out.piece = state_.piece;
    out.slots.clear();
    out.ends.clear();
    LoaderState after = state_; // of all pieces of these rows
    for (int64_t r = 0; r < rows; ++r) {
        if (after.cursor == rows_) {
            ++after.epoch;
            after.cursor = 0;
        }
        append(row_begin(after.epoch, after.cursor), rows, r, out);
        ++after.cursor;
    }
    if (++state_.piece < options_.pieces) return;
    state_ = after;
    state_.piece = 0;
}

// The piece of one row, `row` of `rows`, that begins at `row_begin`.
void Loader::append(int64_t row_begin, int64_t rows, int64_t row, TokenRows& out) const {
    const int64_t T = options_.row_tokens / options_.pieces;
    const int64_t first = state_.piece * T, begin = row_begin + first;
    std::vector<int32_t> tokens(static_cast<size_t>(T + 1)), starts;
    shards_.read(begin, T + 1, tokens.data());
    // A document that starts right after the piece makes its last target another document's.
    if (options_.reset_at_documents) shards_.boundaries(row_begin, begin + T + 1, starts);
    // Where the sequence under way began, and what begins in (first, first + T], from `first` on.
    const auto later = std::upper_bound(starts.begin(), starts.end(), static_cast<int32_t>(first));
    int64_t start = later == starts.begin() ? 0 : *(later - 1);
    std::vector<int32_t> cuts(later, starts.end());
    for (int32_t& cut : cuts) cut -= static_cast<int32_t>(first);

    const auto base = static_cast<int32_t>(out.ids.size());
    out.ids.insert(out.ids.end(), tokens.begin(), tokens.end() - 1);
    out.targets.insert(out.targets.end(), tokens.begin() + 1, tokens.end());
    shards_.mask_targets(begin + 1, T, out.targets.data() + base);
    for (const int32_t cut : cuts) out.targets[static_cast<size_t>(base + cut - 1)] = -1;
    const bool comes = state_.piece > 0 && start < first;
    const bool goes_on = state_.piece + 1 < options_.pieces && (cuts.empty() || cuts.back() < T);
    if (cuts.empty() || cuts.back() < T) cuts.push_back(static_cast<int32_t>(T));
    for (int32_t from = 0; const int32_t cut : cuts) {
        for (int64_t p = first + from; p < first + cut; ++p)
            out.positions.push_back(static_cast<int32_t>(p - start));
        out.cu_seqlens.push_back(base + cut);
        from = cut;
        start = first + cut;
    }
    for (size_t i = static_cast<size_t>(base); i < out.targets.size(); ++i)
        out.counted += out.targets[i] >= 0;
    if (options_.pieces > 1 && options_.reset_at_documents)
        add_slots(cuts.size(), comes, goes_on, rows, row, out);
}

// Of the row's sequences, of which the first may come from the piece before and the last go on.
void Loader::add_slots(size_t sequences, bool comes, bool goes_on, int64_t rows, int64_t row,
                       TokenRows& out) const {
    // In the first piece there is no state yet that slot `row` could hold.
    const bool stays = state_.piece == 0 || (comes && sequences == 1);
    const size_t at = out.slots.size();
    out.slots.resize(at + sequences, -1);
    if (comes) out.slots[at] = static_cast<int32_t>(row);
    if (goes_on) out.slots.back() = static_cast<int32_t>(stays ? row : rows + row);
    out.ends.push_back(!goes_on ? TokenRows::End::stops
                       : stays  ? TokenRows::End::stays
                                : TokenRows::End::moves);
}

} // namespace tnl
