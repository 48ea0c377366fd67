#include "corpus/dedup/sentences_job.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/dedup/piece_filter.h"
#include "corpus/dedup/sentences.h"
#include "corpus/dedup/simplify.h"
#include "corpus/io/record_reader.h"
#include "corpus/rules/python_text.h"

#include <xxhash.h>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

fs::path sentence_keys_path(size_t file) {
    return fs::path("keys") / fmt::format("{:05}.keys", file);
}

// {hash, document, sentence}, sorted. By file the document is no key but says where a record lies.
RecordLayout layout_of(FirstBy first) {
    return first == FirstBy::document ? RecordLayout{2, 2} : RecordLayout{1, 4};
}

// Hashes of n sentences in a row.
class Spans {
  public:
    explicit Spans(const SentenceOptions& options)
        : n_(static_cast<size_t>(options.sentences)), find_(options.words) {}

    // take(hash, first sentence)
    template <class Take> void each(std::string_view text, const Take& take) {
        simple_.clear();
        for (const Sentence& sentence : find_(text)) {
            const std::string_view stripped =
                strip(text.substr(sentence.begin, sentence.end - sentence.begin));
            if (!stripped.empty()) simplify(stripped, simple_.emplace_back());
        }
        for (size_t i = 0; i + n_ <= simple_.size(); ++i) {
            span_ = simple_[i];
            for (size_t j = i + 1; j < i + n_; ++j) (span_ += ' ') += simple_[j];
            if (!strip(span_).empty()) take(XXH64(span_.data(), span_.size(), 0), i);
        }
    }

  private:
    size_t n_;
    SentenceFinder find_;
    std::vector<std::string> simple_;
    std::string span_;
};

Json make_keys(const DedupJob& job, const SentenceOptions& options, size_t file, size_t units,
               UnitOutputs& outputs) {
    const Input& input = job.inputs[file];
    RecordReader reader(input.path, job.worker_records(units));
    ExternalSort<3> sort(outputs.scratch(), "keys", job.worker_memory(units) / 2);
    Spans spans(options);
    uint64_t documents = 0, keys = 0;
    for (Record record; reader.next(record);) {
        if (record.text.empty()) continue;
        if (documents == kMostDocuments)
            fail("{}: more than {} documents, wanted smaller files", input.path.string(),
                 kMostDocuments);
        const uint64_t document = documents++;
        spans.each(record.text, [&](uint64_t hash, uint64_t sentence) {
            sort.add({hash, document, sentence});
            ++keys;
        });
    }
    AtomicFile out(outputs.add(sentence_keys_path(file)));
    sort.finish([&](std::span<const Numbers<3>> sorted) {
        out.write(sorted.data(), sorted.size() * sizeof(Numbers<3>));
    });
    out.commit();
    return {{"documents", documents}, {"keys", keys}};
}

Stage key_stage(const DedupJob& job, const SentenceOptions& options, const std::string& after) {
    return stage_of_files(job, "keys",
                          fmt::format("{} sentences={} words={}", job.record_parameters(),
                                      options.sentences, static_cast<int>(options.words)),
                          after, [&job, &options](size_t file, UnitOutputs& outputs) {
                              return make_keys(job, options, file, job.inputs.size(), outputs);
                          });
}

Json find_gone(const DedupJob& job, const SentenceOptions& options, int part, size_t units,
               UnitOutputs& outputs) {
    const RecordLayout layout = layout_of(options.first_by);
    const size_t memory = job.worker_memory(units);
    ExternalSort<2> gone(outputs.scratch(), "gone", memory / 3);
    EqualKeys equal(options.keep, gone);
    SortedMerge(files_of_part(job, sentence_keys_path, layout, part, options.parts), memory / 2)
        .run([&](std::span<const MergedRecord> records) {
            for (const MergedRecord& r : records) {
                Numbers<3> numbers;
                __builtin_memcpy(numbers.data(), r.data, sizeof numbers);
                equal.add({numbers[0], 0}, {uint64_t{r.source} << 32 | numbers[1], numbers[2]});
            }
        });
    write_gone(gone, outputs, part);
    return {{"spans", equal.sent()}};
}

Stage gone_stage(const DedupJob& job, const SentenceOptions& options, const std::string& after) {
    return stage_of_parts(options.parts, "duplicates",
                          fmt::format("keep={} first={} parts={}", static_cast<int>(options.keep),
                                      static_cast<int>(options.first_by), options.parts),
                          after, [&job, &options](int part, UnitOutputs& outputs) {
                              return find_gone(job, options, part,
                                               static_cast<size_t>(options.parts), outputs);
                          });
}

class SentenceRemover final : public PieceRemover {
  public:
    explicit SentenceRemover(const SentenceOptions& options)
        : options_(options), find_(options.words) {}

    // A sentence goes with what is between it and the one before.
    Left remove(std::string_view text, const std::vector<uint32_t>& spans,
                std::string& out) override {
        const std::vector<Sentence>& sentences = find_(text);
        const auto n = static_cast<size_t>(options_.sentences);
        if (spans.back() + n > sentences.size())
            fail("a document of {} sentences, of which {} from {} on are to go; the file has "
                 "changed since",
                 sentences.size(), n, spans.back());
        Left left{true, 0, sentences.size()};
        std::string rest;
        for (size_t i = 0, next = 0, until = 0, end = 0; i < sentences.size(); ++i) {
            for (; next < spans.size() && spans[next] == i; ++next) until = i + n;
            if (i < until)
                ++left.gone;
            else
                rest.append(text, end, sentences[i].end - end);
            end = sentences[i].end;
        }
        out = strip_left(rest);
        left.stays = !out.empty() && enough(out);
        return left;
    }

  private:
    bool enough(std::string_view text) {
        return (options_.least_words <= 0 ||
                static_cast<int64_t>(find_.words(text)) >= options_.least_words) &&
               (options_.least_sentences <= 0 ||
                std::ssize(find_(text)) >= options_.least_sentences);
    }
    const SentenceOptions& options_;
    SentenceFinder find_;
};

} // namespace

std::vector<std::pair<std::string_view, FirstBy>> enum_names(FirstBy) {
    return {{"file", FirstBy::file}, {"document", FirstBy::document}};
}

std::vector<StageMaker> sentence_stages(const DedupJob& job, const SentenceOptions& options) {
    using Digest = const std::string&;
    return {{"keys", [&](Digest after) { return key_stage(job, options, after); }},
            {"duplicates", [&](Digest after) { return gone_stage(job, options, after); }},
            {"clusters",
             [&](Digest after) {
                 return divide_stage(job, options.parts, GoneForm::pieces, 0, after);
             }},
            {"filter", [&](Digest after) {
                 return piece_filter_stage(
                     job,
                     fmt::format("sentences={} words={} least={},{}", options.sentences,
                                 static_cast<int>(options.words), options.least_words,
                                 options.least_sentences),
                     [&options] { return std::make_unique<SentenceRemover>(options); }, after);
             }}};
}

} // namespace tnl::corpus
