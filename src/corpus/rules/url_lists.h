// Documents by the address they are from: lists of domains, addresses and words, as datatrove's
// URLFilter looks at them.
#pragma once

#include "corpus/rules/verdict.h"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

struct UrlRules {
    std::string field = "url";
    std::string domains, addresses, banned_words, banned_subwords, soft_banned_words;
    int64_t soft_word_threshold = 2;
    std::string suffixes = "/usr/share/publicsuffix/public_suffix_list.dat";

    template <class V> void fields(V&& visit) {
        visit("field", field, "of a record with its address; with dots between nested ones");
        visit("domains", domains,
              "file: a domain (example.org) or a whole host name (www.example.org) a line");
        visit("addresses", addresses, "file: an address a line, as the field has it");
        visit("banned_words", banned_words, "file: a word a line; one of them is enough");
        visit("banned_subwords", banned_subwords,
              "file: what may not be within the address's letters and digits either");
        visit("soft_banned_words", soft_banned_words,
              "file: a word a line, of which some are needed");
        visit("soft_word_threshold", soft_word_threshold, "how many of these");
        visit("suffixes", suffixes,
              "the Public Suffix List (Debian: publicsuffix), which tells domains from hosts");
    }
    // The lists that are named.
    std::vector<std::filesystem::path> files() const;
    // Throws UsageError: `place`, field, and what is wanted.
    void validate(const std::string& place) const;
};

class UrlLists {
  public:
    // Reads the files; a line that begins with # is none, nor is a blank one. Throws naming a file
    // that cannot be read.
    explicit UrlLists(const UrlRules& rules);
    ~UrlLists();
    UrlLists(UrlLists&&) noexcept;

    // Rules, in their order: no_url (there is none), domain, subdomain, url, hard_blacklisted,
    // soft_blacklisted, blacklisted_subword. value: what was counted, threshold: the bound.
    Verdict check(std::string_view url) const;
    size_t bytes() const; // of memory

  private:
    struct Lists;
    std::unique_ptr<const Lists> lists_;
};

// Of an address: its host, and the domain that was registered, as Python's tldextract finds them;
// empty where there is none.
struct Host {
    std::string name, domain;
};
class PublicSuffixes {
  public:
    explicit PublicSuffixes(const std::filesystem::path& file);
    ~PublicSuffixes();
    PublicSuffixes(PublicSuffixes&&) noexcept;
    Host host_of(std::string_view url) const;

  private:
    struct Tree;
    std::unique_ptr<const Tree> tree_;
};

} // namespace tnl::corpus
