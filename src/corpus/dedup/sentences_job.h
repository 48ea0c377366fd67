// Spans of sentences that are there twice (C4: Raffel et al. 2019, arXiv 1910.10683, section 2.2),
// as datatrove's sentence_dedup finds and removes them. Stages as of pieces (pieces_job.h): keys
// holds, for every three sentences in a row, xxh64 of their simplified texts (simplify.h), the
// document and the first sentence; duplicates the spans that go, clusters and filter take them out.
#pragma once

#include "corpus/dedup/gone.h"
#include "corpus/words/splitter.h"

namespace tnl::corpus {

// Which of several equal spans is the first. file: by file, then document. document: by the number
// of the document in its file, then file, as datatrove has it.
enum class FirstBy { file, document };
std::vector<std::pair<std::string_view, FirstBy>> enum_names(FirstBy);

struct SentenceOptions {
    int sentences = 3; // of a span
    WordRules words = WordRules::english;
    FirstBy first_by = FirstBy::file;
    Keep keep = Keep::first;
    // A document that lost sentences stays if it has as many as this left; 0: however few.
    int64_t least_words = 50, least_sentences = 3;
    int parts = 8;
};

// The job must outlive what is made.
std::vector<StageMaker> sentence_stages(const DedupJob& job, const SentenceOptions& options);

} // namespace tnl::corpus
