#include "corpus/rules/url_lists.h"

#include "base/check.h"
#include "base/file.h"
#include "corpus/rules/line_set.h"
#include "corpus/rules/python_text.h"

#include <algorithm>
#include <set>

namespace tnl::corpus {
namespace fs = std::filesystem;
namespace {

bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Letters and digits of ASCII alone, lower case.
std::string normalized(std::string_view text) {
    std::string out;
    for (const char c : text)
        if (is_alnum(c)) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    return out;
}

// Words of a list, normalized; std::less<> looks views up.
using Words = std::set<std::string, std::less<>>;

Words read_words(const std::string& file) {
    Words out;
    if (file.empty()) return out;
    const std::string text = read_file(file);
    std::vector<std::string_view> lines;
    split_newlines(text, lines);
    for (const std::string_view line : lines)
        if (!line.starts_with('#'))
            if (std::string word = normalized(line); !word.empty()) out.insert(std::move(word));
    return out;
}

} // namespace

std::vector<fs::path> UrlRules::files() const {
    std::vector<fs::path> out;
    for (const std::string* file :
         {&domains, &addresses, &banned_words, &banned_subwords, &soft_banned_words})
        if (!file->empty()) out.emplace_back(*file);
    if (!domains.empty()) out.emplace_back(suffixes);
    return out;
}

void UrlRules::validate(const std::string& place) const {
    if (files().empty())
        throw UsageError(fmt::format("{}: step url without a list, wanted url.domains, "
                                     "url.addresses, url.banned_words, url.banned_subwords or "
                                     "url.soft_banned_words =FILE",
                                     place));
    if (!domains.empty() && !fs::exists(suffixes))
        throw UsageError(fmt::format("{}: url.suffixes is '{}', which is not there; wanted the "
                                     "Public Suffix List (Debian's package publicsuffix, or "
                                     "publicsuffix.org), which url.domains needs",
                                     place, suffixes));
}

struct UrlLists::Lists {
    explicit Lists(const UrlRules& rules)
        : banned(read_words(rules.banned_words)), subwords(read_words(rules.banned_subwords)),
          soft(read_words(rules.soft_banned_words)), threshold(rules.soft_word_threshold) {
        if (!rules.domains.empty()) {
            domains = LineSet(rules.domains);
            suffixes = std::make_unique<PublicSuffixes>(rules.suffixes);
        }
        if (!rules.addresses.empty()) addresses = LineSet(rules.addresses);
        for (const std::string& word : subwords) begins[static_cast<unsigned char>(word[0])] = true;
    }
    // Of the words that subwords begin with, whether one is a beginning of `rest`.
    bool begins_with_subword(std::string_view rest) const {
        if (!begins[static_cast<unsigned char>(rest[0])]) return false;
        for (auto word = subwords.lower_bound(rest.substr(0, 1));
             word != subwords.end() && (*word)[0] == rest[0]; ++word)
            if (rest.starts_with(*word)) return true;
        return false;
    }
    LineSet domains, addresses;
    Words banned, subwords, soft;
    int64_t threshold;
    bool begins[256] = {};
    std::unique_ptr<PublicSuffixes> suffixes;
};

UrlLists::UrlLists(const UrlRules& rules) : lists_(std::make_unique<Lists>(rules)) {}
UrlLists::~UrlLists() = default;
UrlLists::UrlLists(UrlLists&&) noexcept = default;

size_t UrlLists::bytes() const { return lists_->domains.bytes() + lists_->addresses.bytes(); }

Verdict UrlLists::check(std::string_view url) const {
    const Lists& lists = *lists_;
    if (url.empty()) return Verdict::dropped("no_url", 0, 0);
    if (lists.suffixes) {
        const Host host = lists.suffixes->host_of(url);
        if (!host.domain.empty() && lists.domains.contains(host.domain))
            return Verdict::dropped("domain", 1, 0);
        if (!host.name.empty() && lists.domains.contains(host.name))
            return Verdict::dropped("subdomain", 1, 0);
    }
    if (lists.addresses.contains(url)) return Verdict::dropped("url", 1, 0);
    // Words of the address as they are; those of the lists are lower case.
    std::set<std::string_view> soft;
    for (size_t at = 0; at < url.size();) {
        const size_t begin = at;
        while (at < url.size() && is_alnum(url[at])) ++at;
        const std::string_view word = url.substr(begin, at - begin);
        if (lists.banned.contains(word)) return Verdict::dropped("hard_blacklisted", 1, 0);
        if (lists.soft.contains(word)) soft.insert(word);
        if (at == begin) ++at;
    }
    if (std::ssize(soft) >= lists.threshold)
        return Verdict::dropped("soft_blacklisted", static_cast<double>(soft.size()),
                                static_cast<double>(lists.threshold));
    const std::string letters = normalized(url);
    for (size_t at = 0; at < letters.size(); ++at)
        if (lists.begins_with_subword(std::string_view(letters).substr(at)))
            return Verdict::dropped("blacklisted_subword", 1, 0);
    return Verdict::kept();
}

} // namespace tnl::corpus
