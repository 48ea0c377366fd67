#include "corpus/rules/contamination.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/rules/benchmark_items.h"
#include "corpus/tasks.h"

#include <xxhash.h>

#include <bit>
#include <cstring>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kHashes = ".index.hashes";

bool is_index(const fs::path& file) { return file.string().ends_with(kHashes); }

uint64_t hash_of(const std::string& ngram) { return XXH64(ngram.data(), ngram.size(), 0); }

template <class Take>
void each_ngram(const std::vector<std::string>& words, size_t n, const Take& take) {
    for (size_t i = 0; i + n <= words.size(); ++i) take(hash_of(WordNgrams::join(words, i, n)));
}

} // namespace

WordNgrams::WordNgrams(int64_t n, WordRules words, const Segmenter* segmenter)
    : n_(static_cast<size_t>(n)), lexicon_(words, segmenter) {
    if (words == WordRules::chinese) return;
    ShingleOptions options;
    options.words = static_cast<int>(n);
    options.cut = words == WordRules::english ? WordCut::english : WordCut::common;
    shingler_.emplace(options);
}

std::span<const uint64_t> WordNgrams::operator()(std::string_view text) {
    if (shingler_) return (*shingler_)(text);
    hashes_.clear();
    each_ngram(words(text), n_, [&](uint64_t hash) { hashes_.push_back(hash); });
    return hashes_;
}

std::vector<std::string> WordNgrams::words(std::string_view text) {
    simplify(text, simplified_);
    lexicon_.limit();
    tokens_.clear();
    lexicon_.tokenize(simplified_, TokensOf::words, tokens_);
    std::vector<std::string> out;
    for (const uint32_t token : tokens_) out.emplace_back(lexicon_.text(token));
    return out;
}

std::string WordNgrams::join(const std::vector<std::string>& words, size_t begin, size_t count) {
    std::string out;
    for (size_t i = begin; i < begin + count; ++i) (out += i > begin ? " " : "") += words[i];
    return out;
}

void ContaminationRules::validate(const std::string& place) const {
    if (files.empty() || labels.empty())
        throw UsageError(fmt::format("{}: step decontaminate without {}", place,
                                     files.empty() ? "a benchmark, wanted decontaminate.files=FILE"
                                                   : "decontaminate.labels"));
    if (words < 1 || words > 100)
        throw UsageError(
            fmt::format("{}: decontaminate.words is {}, wanted 1 to 100", place, words));
}

std::vector<fs::path> ContaminationRules::paths() const {
    std::vector<fs::path> out;
    for (const Input& input : find_inputs(files)) out.push_back(input.path);
    return out;
}

struct ContaminationIndex::Table {
    struct Slot {
        uint64_t hash = 0;
        uint32_t file = 0; // from 1; 0: empty
    };
    std::vector<Slot> slots{1 << 10};
    std::vector<std::string> names;
    size_t used = 0;

    const Slot& find(uint64_t hash) const {
        for (size_t at = hash;; ++at) {
            const Slot& slot = slots[at & (slots.size() - 1)];
            if (slot.file == 0 || slot.hash == hash) return slot;
        }
    }
    void add(uint64_t hash) {
        if (used * 2 >= slots.size()) {
            std::vector<Slot> old(slots.size() * 2);
            old.swap(slots);
            for (const Slot& slot : old)
                if (slot.file != 0) const_cast<Slot&>(find(slot.hash)) = slot;
        }
        Slot& slot = const_cast<Slot&>(find(hash));
        if (slot.file != 0) return;
        slot = {hash, static_cast<uint32_t>(names.size())};
        ++used;
    }
    void add_hashes(const fs::path& file) {
        const std::string bytes = read_file(file);
        if (bytes.size() % sizeof(uint64_t) != 0)
            fail("{}: {} bytes, wanted numbers of 64 bits", file.string(), bytes.size());
        for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
            uint64_t hash = 0;
            std::memcpy(&hash, bytes.data() + at, sizeof hash);
            add(hash);
        }
    }
    void add_items(const fs::path& file, const ContaminationRules& rules, WordNgrams& maker) {
        const size_t n = maker.n();
        const auto take = [&](uint64_t hash) { add(hash); };
        read_items(file, {rules.query, rules.labels, rules.columns},
                   [&](const BenchmarkItem& item) {
                       const std::vector<std::string> query = maker.words(item.query);
                       if (rules.query_ngrams) each_ngram(query, n, take);
                       for (const std::string& answer : item.labels) {
                           const std::vector<std::string> label = maker.words(answer);
                           each_ngram(label, n, take);
                           if (!rules.overlap_ngrams || item.query.empty()) continue;
                           // As many words before the answer and in it as an n-gram over its
                           // beginning has.
                           const size_t before = std::min(query.size(), n - 1);
                           std::vector<std::string> seam(
                               query.end() - static_cast<ptrdiff_t>(before), query.end());
                           seam.insert(seam.end(), label.begin(),
                                       label.begin() +
                                           static_cast<ptrdiff_t>(std::min(label.size(), n - 1)));
                           each_ngram(seam, n, take);
                       }
                   });
    }
};

ContaminationIndex::ContaminationIndex(const ContaminationRules& rules, WordNgrams& maker) {
    auto table = std::make_unique<Table>();
    for (const fs::path& file : rules.paths()) {
        table->names.push_back(file.filename().string());
        if (is_index(file))
            table->add_hashes(file);
        else
            table->add_items(file, rules, maker);
    }
    if (table->used == 0)
        fail("{}: {} files without an n-gram of {} words; wanted fields decontaminate.labels and "
             "decontaminate.query with longer texts",
             rules.files[0], table->names.size(), rules.words);
    table_ = std::move(table);
}
ContaminationIndex::~ContaminationIndex() = default;
ContaminationIndex::ContaminationIndex(ContaminationIndex&&) noexcept = default;

size_t ContaminationIndex::size() const { return table_->used; }
size_t ContaminationIndex::bytes() const { return table_->slots.size() * sizeof(Table::Slot); }

Verdict ContaminationIndex::check(std::string_view text, WordNgrams& maker) const {
    const std::span<const uint64_t> shingles = maker(text);
    for (size_t i = 0; i < shingles.size(); ++i) {
        const Table::Slot& slot = table_->find(shingles[i]);
        if (slot.file == 0) continue;
        Verdict out = Verdict::dropped("contaminated", 1, 0);
        out.detail =
            table_->names[slot.file - 1] + ": " + WordNgrams::join(maker.words(text), i, maker.n());
        return out;
    }
    return Verdict::kept();
}

} // namespace tnl::corpus
