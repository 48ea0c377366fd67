// transnormer corpus dedup: documents that are there more than once.
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/corpus_options.h"
#include "cli/corpus_slurm.h"
#include "corpus/dedup/minhash_job.h"
#include "corpus/dedup/ngrams_job.h"
#include "corpus/dedup/pieces_job.h"
#include "corpus/dedup/sentences_job.h"
#include "corpus/dedup/substring_job.h"

#include "base/check.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace tnl {
namespace {
using namespace corpus;

enum class Mode { minhash, exact, url, line, paragraph, sentence, substring, ngram };
std::vector<std::pair<std::string_view, Mode>> enum_names(Mode) {
    return {{"minhash", Mode::minhash},
            {"exact", Mode::exact},
            {"url", Mode::url},
            {"line", Mode::line},
            {"paragraph", Mode::paragraph},
            {"sentence", Mode::sentence},
            {"substring", Mode::substring},
            {"ngram", Mode::ngram}};
}

PieceKind kind_of(Mode mode) {
    return mode == Mode::url         ? PieceKind::url
           : mode == Mode::line      ? PieceKind::line
           : mode == Mode::paragraph ? PieceKind::paragraph
                                     : PieceKind::exact;
}

struct DedupCommand {
    CorpusOptions corpus;
    Mode mode = Mode::minhash;
    MinHashOptions minhash;
    PieceOptions pieces;
    SentenceOptions sentences;
    SubstringOptions substrings;
    NgramOptions ngrams;
    int parts = 0;
    // Of several modes.
    int words_of_ngram = 0;
    bool fast = false;
    WordCut words = WordCut::english;
    Keep keep = Keep::first;
    std::vector<std::string> indexes;
    std::string stage = "all";
    bool keep_numbers = false;
    bool json = false;
    SlurmCommand slurm;
    struct Known { // an option that not all modes look at
        const CLI::Option* option;
        std::vector<Mode> by;
    };
    std::vector<Known> known;
};

std::string describe(const StageReport& report) {
    const Workspace::Progress& p = report.progress;
    std::string out = fmt::format("{}: {} of {} pieces", report.name, p.done_here, p.units);
    if (p.done_before > 0) out += fmt::format(", {} done before", p.done_before);
    if (p.done_elsewhere > 0) out += fmt::format(", {} by other tasks", p.done_elsewhere);
    out += fmt::format(", {:.1f} s", report.seconds);
    for (const auto& [name, value] : report.counts.items())
        out += fmt::format("; {} {}", value.dump(), name);
    return out;
}

void check(const MinHashOptions& o) {
    if (o.bands.bands < 1 || o.bands.bands > 1000 || o.bands.rows < 1 || o.bands.rows > 1000 ||
        o.bands.hashes() > 65536)
        throw UsageError(fmt::format("{} bands of {} rows, wanted 1 to 1000 of each and at most "
                                     "65536 hashes",
                                     o.bands.bands, o.bands.rows));
    if (o.only_indexed && o.indexes.empty())
        throw UsageError("--only-index without --index; wanted the index of an earlier corpus");
}

// Options that the mode would not look at.
void check_mode(const DedupCommand& c) {
    for (const auto& [option, modes] : c.known) {
        if (option->count() == 0 || std::find(modes.begin(), modes.end(), c.mode) != modes.end())
            continue;
        std::string names;
        for (const auto& [name, mode] : enum_names(Mode{}))
            if (std::find(modes.begin(), modes.end(), mode) != modes.end())
                names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
        throw UsageError(fmt::format("{} is of --mode {}", option->get_name(), names));
    }
}

std::vector<StageMaker> make_stages(DedupCommand& c, const DedupJob& job) {
    if (c.parts > 0)
        c.minhash.parts = c.pieces.parts = c.sentences.parts = c.substrings.parts = c.ngrams.parts =
            c.parts;
    c.pieces.keep = c.sentences.keep = c.substrings.keep = c.keep;
    if (c.fast) {
        c.words = WordCut::spaces;
        c.minhash.shingles.hash = ShingleHash::words;
        c.minhash.signature = SignatureKind::one_permutation;
    }
    c.minhash.shingles.cut = c.ngrams.shingles.cut = c.words;
    if (c.words_of_ngram > 0) c.minhash.shingles.words = c.ngrams.shingles.words = c.words_of_ngram;
    c.minhash.shingles.simplify.numbers = c.ngrams.shingles.simplify.numbers = !c.keep_numbers;
    switch (c.mode) {
    case Mode::minhash:
        c.minhash.indexes.assign(c.indexes.begin(), c.indexes.end());
        check(c.minhash);
        return minhash_stages(job, c.minhash);
    case Mode::sentence:
        if (c.words == WordCut::spaces)
            throw UsageError("--mode sentence finds sentences in the words of --words english or "
                             "common, not spaces");
        c.sentences.words = c.words == WordCut::english ? WordRules::english : WordRules::common;
        return sentence_stages(job, c.sentences);
    case Mode::substring:
        return substring_stages(job, c.substrings);
    case Mode::ngram:
        return ngram_stages(job, c.ngrams);
    default:
        c.pieces.kind = kind_of(c.mode);
        return piece_stages(job, c.pieces);
    }
}

// The pieces of work of a stage, told without making any.
int emit_slurm(const DedupCommand& c, const std::vector<StageMaker>& makers) {
    std::vector<SlurmStage> stages;
    for (const StageMaker& maker : makers)
        stages.push_back({maker.name, maker.make("").units.size(), true});
    fmt::print("{}", c.slurm.script(stages, c.corpus));
    return kOk;
}

int run_dedup(DedupCommand& c) {
    check_mode(c);
    DedupJob job = make_job(c.corpus);
    job.stage = c.stage;
    for (const auto& [name, mode] : enum_names(Mode{}))
        if (mode == c.mode) job.mode = name;
    const std::vector<StageMaker> stages = make_stages(c, job);
    std::string names;
    bool known = c.stage == "all";
    for (const StageMaker& stage : stages) {
        names += ", " + stage.name;
        known = known || stage.name == c.stage;
    }
    if (c.slurm.emit) return emit_slurm(c, stages);
    if (!known) throw UsageError(fmt::format("--stage '{}', wanted all{}", c.stage, names));

    Workspace workspace(job.output, {});
    const std::vector<StageReport> reports =
        run_stages(workspace, job, stages, [&](const StageReport& report) {
            if (!c.json) fmt::print("{}\n", describe(report));
            std::fflush(stdout);
        });
    if (c.json) {
        Json out = Json::array();
        for (const StageReport& r : reports)
            out.push_back({{"stage", r.name},
                           {"units", r.progress.units},
                           {"done_before", r.progress.done_before},
                           {"done_here", r.progress.done_here},
                           {"done_elsewhere", r.progress.done_elsewhere},
                           {"seconds", r.seconds},
                           {"counts", r.counts}});
        fmt::print("{}\n", out.dump(2));
        return kOk;
    }
    const StageReport& last = reports.back();
    if (last.name == "filter" && !last.counts.empty()) {
        const auto count = [&](const char* name) { return last.counts.value(name, uint64_t{0}); };
        fmt::print("{}: {} of {} documents kept, {:.2f} of {:.2f} MB\n",
                   (job.output / "kept").string(), count("kept_documents"), count("documents"),
                   static_cast<double>(count("kept_bytes")) * 1e-6,
                   static_cast<double>(count("bytes")) * 1e-6);
    }
    return kOk;
}

void add_minhash_options(CLI::App& command, DedupCommand& c) {
    MinHashOptions& o = c.minhash;
    const std::vector<Mode> minhash = {Mode::minhash}, grams = {Mode::minhash, Mode::ngram};
    CLI::Option* const hash =
        add_choice(command, "--hash", o.shingles.hash,
                   "Hash of a shingle: of its text, as datatrove does, or of its words' hashes");
    CLI::Option* const signature = add_choice(
        command, "--signature", o.signature,
        "Numbers of a signature: each the least of a hash of its own of all shingles, as "
        "datatrove does, or all from one hash");
    CLI::Option* const words =
        add_choice(command, "--words", c.words,
                   "What words are: as spaCy's blank pipeline of English or of all languages "
                   "cuts, or between spaces");
    c.known = {
        {command
             .add_option("--ngram", c.words_of_ngram,
                         "Words of an n-gram; default 5, of --mode ngram 13")
             ->check(CLI::Range(1, 100))
             ->default_str(""),
         grams},
        {command.add_option("--bands", o.bands.bands,
                            "Bands of a signature; documents that agree in one are duplicates"),
         minhash},
        {command.add_option("--rows", o.bands.rows, "Hashes of a band"), minhash},
        {command.add_option("--seed", o.seed, "Of the hash functions"), minhash},
        {hash, minhash},
        {signature, minhash},
        {words, {Mode::minhash, Mode::sentence, Mode::ngram}},
        {command
             .add_flag("--fast", c.fast,
                       "Short for --hash words --words spaces --signature one-permutation: other "
                       "duplicates than datatrove's, as many on average")
             ->excludes(hash)
             ->excludes(words)
             ->excludes(signature),
         minhash},
        {command.add_flag("--keep-numbers", c.keep_numbers, "Tell numbers apart; else all are 0"),
         grams},
        {command.add_flag("--weekdays", o.shingles.simplify.weekdays,
                          "Do not tell the days of the week apart (English)"),
         minhash},
        {command.add_flag("--months", o.shingles.simplify.months,
                          "Do not tell months apart (English)"),
         minhash},
        {add_choice(command, "--survivor", o.survivor,
                    "Document of a cluster that stays: the first, or datatrove's root"),
         minhash},
        {command.add_flag("--cluster-ids", o.ids, "Write remove/*.clusters"), minhash},
        {command.add_flag("--cluster-sizes", o.sizes, "Write remove/*.sizes"), minhash},
        {command
             .add_option("--index", c.indexes,
                         "Folder of the index of an earlier corpus, whose documents are to go; "
                         "repeatable")
             ->allow_extra_args(false),
         minhash},
        {command.add_flag("--only-index", o.only_indexed,
                          "With --index: leave duplicates among the inputs"),
         minhash},
        {command.add_option("--write-index", o.index_name,
                            "Write index/ under this name, for later corpora"),
         minhash}};
}

void add_piece_options(CLI::App& command, DedupCommand& c) {
    PieceOptions& o = c.pieces;
    const std::vector<Mode> pieces = {Mode::exact, Mode::url, Mode::line, Mode::paragraph};
    std::vector<Mode> with_keep = pieces;
    with_keep.insert(with_keep.end(), {Mode::sentence, Mode::substring});
    const auto add = [&](const CLI::Option* option, std::vector<Mode> by) {
        c.known.push_back({option, std::move(by)});
    };
    add(add_choice(command, "--form", o.form,
                   "What counts of a text: all of it, as cc_net has it, or as for minhash"),
        pieces);
    add(add_choice(command, "--keep", c.keep, "Of what is there twice: the first, or none"),
        with_keep);
    add(command.add_option("--url-field", o.url_field,
                           "Field of a JSONL record with its address, for --mode url"),
        {Mode::url});
    add(command.add_option("--least-bytes", o.least_bytes, "Shorter lines and paragraphs stay"),
        pieces);
    add(command.add_option("--sentences", c.sentences.sentences, "Sentences of a span")
            ->check(CLI::Range(1, 1000)),
        {Mode::sentence});
    add(add_choice(command, "--first-by", c.sentences.first_by,
                   "Which of equal spans is the first: by file, then document; or by the "
                   "document's number, then file, as datatrove has it"),
        {Mode::sentence});
    add(command.add_option("--least-words", c.sentences.least_words,
                           "Documents that lost sentences go if fewer words are left"),
        {Mode::sentence});
    add(command.add_option("--least-sentences", c.sentences.least_sentences,
                           "Documents that lost sentences go if fewer are left"),
        {Mode::sentence});
    add(command
            .add_option("--length", c.substrings.length,
                        "Bytes of a substring that is too long to be there twice")
            ->check(CLI::Range(16, 1 << 20)),
        {Mode::substring});
    add(add_choice(command, "--scope", c.ngrams.scope, "What goes"), {Mode::ngram});
    add(command
            .add_option("--share", c.ngrams.share,
                        "What goes has more than this share of its n-grams in earlier ones")
            ->check(CLI::Range(0.0, 1.0)),
        {Mode::ngram});
    add(command
            .add_option("--filter-size", c.ngrams.filter_bytes,
                        "Bytes of the Bloom filters, all parts together, as 2G; 1.5 bytes for each "
                        "different n-gram find one in 1000 that is not there")
            ->transform(CLI::AsSizeValue(false))
            ->default_str("128M"),
        {Mode::ngram});
}

} // namespace

void add_corpus_dedup_command(CLI::App& group) {
    auto c = std::make_shared<DedupCommand>();
    CLI::App* command = group.add_subcommand("dedup", "Remove documents that are there already");
    add_corpus_options(*command, c->corpus);
    add_choice(*command, "--mode", c->mode, "What makes documents duplicates");
    command->add_option("--stage", c->stage,
                        "One stage alone: signatures (of other modes: keys, of substring: "
                        "anchors, candidates, windows), duplicates, clusters or filter");
    command
        ->add_option("--parts", c->parts,
                     "Pieces of work that duplicates are sought in: of each band, default 1; of "
                     "all keys, default 8")
        ->check(CLI::Range(1, 100))
        ->default_str("");
    add_minhash_options(*command, *c);
    add_piece_options(*command, *c);
    add_slurm_options(*command, c->slurm);
    command->add_flag("--json", c->json, "Print the stages as JSON");
    command->footer(
        "The output directory holds all stages' files and manifest/, what was made of what: a run "
        "that was\nkilled goes on where it was, and any number of tasks may share one directory.");
    on_run(command, [c] { return run_dedup(*c); });
}

} // namespace tnl
