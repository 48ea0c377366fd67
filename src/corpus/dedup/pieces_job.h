// Pieces that are there twice, exactly: documents, addresses, lines, paragraphs. In four stages:
//   keys        of every file: keys/FFFFF.keys, records (hash of 128 bits, document and piece),
//               sorted                                                     one unit a file
//   duplicates  of every part of the hashes' range: duplicates/PP.pieces, records (file and
//   document,
//               piece) of the pieces that go, sorted                       one a part
//   clusters    remove/FFFFFF.remove (documents) or FFFFFF.pieces (pieces of documents)   one
//   filter      kept/<name>.jsonl.zst, dropped/<name>.jsonl.zst            one a file
// Hashes of 128 bits stand for the pieces: that two of 10^12 pieces differ but share one has a
// probability below 10^-14.
#pragma once

#include "corpus/dedup/gone.h"
#include "corpus/dedup/piece_filter.h"
#include "corpus/dedup/pieces.h"

namespace tnl::corpus {

struct PieceOptions {
    PieceKind kind = PieceKind::exact;
    PieceForm form = PieceForm::none;
    Keep keep = Keep::first;
    std::string url_field = "url"; // dotted for nested ones
    size_t least_bytes = 0;        // pieces that are shorter stay
    int parts = 8;
};

// For lines and paragraphs.
MakeRemover piece_remover(PieceKind kind);

// The job must outlive what is made.
std::vector<StageMaker> piece_stages(const DedupJob& job, const PieceOptions& options);

} // namespace tnl::corpus
