// Rows of T tokens from token shards, in an order that is a pure function of (seed, epoch, cursor).
//
// The corpus is one sequence of tokens, documents one after the other. An epoch shifts it by a
// random offset below T, cuts it into rows of T (plus the next token, as target), and visits the
// rows in a random order; the remainder at both ends is left to other epochs' offsets. Rows longer
// than a batch are given in pieces, all rows of a batch side by side: documents go on from one to
// the next as they do within a row. Nothing is kept but four
// numbers, so resuming, any number of ranks, and any batch size see the same order.
#pragma once

#include "data/shard.h"

#include <cstdint>
#include <vector>

namespace tnl {

struct LoaderState {
    uint64_t seed = 0;
    int64_t epoch = 0;  // passes over the corpus completed
    int64_t cursor = 0; // rows of this epoch already given
    int64_t piece = 0;  // pieces already given of the rows that are being given
    friend bool operator==(const LoaderState&, const LoaderState&) = default;
};

struct LoaderOptions {
    int64_t row_tokens = 512;       // T
    bool shuffle = true;            // false: rows in order, offset 0
    bool reset_at_documents = true; // sequences end with their documents; states do not cross
    int64_t pieces = 1;             // of a row; they divide T
};

// N = rows * T / pieces tokens in host memory, packed: sequence i is [cu_seqlens[i],
// cu_seqlens[i+1]).
struct TokenRows {
    std::vector<int32_t> ids, targets; // targets: the next token; -1 across a sequence's end and
                                       // where the shards' mask says that it is only read
    std::vector<int32_t> positions;    // from 0 in each sequence; pieces go on
    std::vector<int32_t> cu_seqlens;
    int64_t counted = 0; // targets >= 0: none, too, where a mask leaves none
    int64_t piece = 0;   // of the rows; above 0, the states after the piece before go on

    // Rows in pieces whose sequences end with documents only: row r's state passes in slot r, and
    // slot `rows` + r is for a document that begins here and goes on; its state must be zero.
    // [sequences], -1: a document that neither comes from the piece before nor goes on.
    std::vector<int32_t> slots;
    enum class End { stops, stays, moves }; // after this piece: no state, in slot r, in rows + r
    std::vector<End> ends;                  // [rows]
};

class Loader {
  public:
    // Throws when the corpus has fewer than T + 1 tokens.
    Loader(const ShardSet& shards, LoaderOptions options, LoaderState state);
    // Gives the next piece of `rows` rows and advances; passes into the next epoch as needed. While
    // pieces are left, `rows` stays the same.
    void next(int64_t rows, TokenRows& out);
    const LoaderState& state() const { return state_; }
    int64_t rows_per_epoch() const { return rows_; }
    // First token of the row at (epoch, cursor).
    int64_t row_begin(int64_t epoch, int64_t cursor) const;

  private:
    void append(int64_t row_begin, int64_t rows, int64_t row, TokenRows& out) const;
    void add_slots(size_t sequences, bool comes, bool goes_on, int64_t rows, int64_t row,
                   TokenRows& out) const;
    const ShardSet& shards_;
    LoaderOptions options_;
    LoaderState state_;
    int64_t rows_;
};

// A bijection of [0, n), different for every key: position i of a shuffled order. Constant memory
// (a Feistel network over the next power of four, walked until it falls below n).
int64_t permute(int64_t i, int64_t n, uint64_t key);

} // namespace tnl
