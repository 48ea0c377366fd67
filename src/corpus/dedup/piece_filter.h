// The last stage where pieces of documents go: kept/<name>.jsonl.zst with the texts that are left,
// dropped/<name>.jsonl.zst with {"id", "file", "document", "rule", "pieces", "of", "bytes"} of
// every document that lost pieces, "dropped": true where nothing but white space was left of it.
#pragma once

#include "corpus/dedup/job.h"
#include "corpus/dedup/pieces.h"

namespace tnl::corpus {

Stage piece_filter_stage(const DedupJob& job, PieceKind kind, const std::string& after);

} // namespace tnl::corpus
